"""What runs on the Ray cluster: router, partitions and lookups, and the builder of their app."""

import os

# Replicas share cores, and a request goes from one to the next. PyTorch's threads (GNU OpenMP)
# spin for milliseconds after an operation, in wait of the next, and keep the core from whoever has
# the request now; if they do not spin at all, each operation wakes them anew, and a slice takes
# twice as long. This many turns, about a quarter of a millisecond, last from one operation to the
# next. It is read when PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
