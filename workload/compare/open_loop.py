"""Open loop, in blocks: one system at a time while the others are idle, in random order, each round
of blocks with the same samples due at the same times."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from workload.client.answers import Answers
from workload.client.client import send
from workload.samples import Sample, Samples
from workload.traffic.arrivals import poisson


class Block(NamedTuple):
    """Samples in order, and the keys of their streams; None for no keys."""

    samples: Samples | Sequence[Sample]
    keys: Sequence[str] | None = None


def in_blocks(
    urls: Mapping[str, str],
    rounds: Sequence[Block],
    rate_per_s: float,
    seed: int,
    gap_s: float,
) -> dict[str, list[Answers]]:
    """What every system answered, round by round, by name.

    Args:
        rounds: what each is asked about.
        gap_s: after every block.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[Answers]] = {name: [] for name in urls}
    names = list(urls)
    for k, block in enumerate(rounds):
        samples = list(block.samples)  # what is made of video must not be made meanwhile
        due_s = poisson(len(samples), rate_per_s, seed + k)
        for name in rng.permutation(names).tolist():
            found[name].append(send(urls[name], samples, due_s, keys=block.keys))
            time.sleep(gap_s)
    return found


def saturate(url: str, samples: Sequence[Sample], clients: int) -> tuple[float, Answers]:
    """Answers a second where so many requests are always in flight, and the answers, whose latency
    means nothing."""
    start = time.perf_counter()
    answers = send(url, samples, np.zeros(len(samples)), in_flight=clients)
    answered = int((answers.failures == "").sum())
    return answered / (time.perf_counter() - start), answers
