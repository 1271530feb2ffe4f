"""What runs on the Ray cluster: router, partitions and lookups, and the builder of their app."""

import os

# Replicas share cores, and a request goes from one to the next. PyTorch's threads (GNU OpenMP)
# spin for milliseconds after an operation, in wait of the next, and keep the core from whoever has
# the request now; if they sleep too early, each operation wakes them anew, and unless each has a
# core of its own (`network.threads`), a slice takes up to twice as long: most of all one that
# few requests reach, where the way from one operation to the next is long, since the processor's
# caches are cold. This many turns, one to seven milliseconds, outlast that way on every machine so
# far; `python -m cache_models tune` measures how many suit. It is read when PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "200000")
