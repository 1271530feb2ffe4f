"""Open loop, in blocks: one system at a time while the others are idle, in random order, each round
of blocks with the same pictures due at the same times."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from workload.client.answers import Answers
from workload.client.client import send
from workload.traffic.arrivals import poisson


def in_blocks(
    urls: Mapping[str, str],
    rounds: Sequence[Sequence[np.ndarray]],
    rate_per_s: float,
    seed: int,
    gap_s: float,
) -> dict[str, list[Answers]]:
    """What every system answered, round by round, by name.

    Args:
        rounds: the pictures of each.
        gap_s: after every block.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[Answers]] = {name: [] for name in urls}
    names = list(urls)
    for k, pictures in enumerate(rounds):
        due_s = poisson(len(pictures), rate_per_s, seed + k)
        for name in rng.permutation(names).tolist():
            found[name].append(send(urls[name], pictures, due_s))
            time.sleep(gap_s)
    return found


def saturate(url: str, pictures: Sequence[np.ndarray], clients: int) -> tuple[float, Answers]:
    """Answers a second where so many requests are always in flight, and the answers, whose latency
    means nothing."""
    start = time.perf_counter()
    answers = send(url, pictures, np.zeros(len(pictures)), in_flight=clients)
    answered = int((answers.failures == "").sum())
    return answered / (time.perf_counter() - start), answers
