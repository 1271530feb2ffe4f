"""Steady traffic for long; nobody is killed: what is answered and how soon, the longer it goes."""

from collections.abc import Sequence

import numpy as np

from workload.chaos.tally import Row, add_up, count
from workload.client.client import send
from workload.samples import Samples
from workload.traffic.arrivals import poisson

PARTS = 4
"""Of the time, each of which is told by itself."""
IN_FLIGHT = 512


def soak(
    url: str, samples: Samples, truth: np.ndarray, rate_per_s: float, seconds: float, seed: int
) -> list[Row]:
    """A row for each part of the time, and one for all.

    Args:
        samples: drawn from at random.
        truth: the base DNN's label of each, `(n,)`.
    """
    requests = int(rate_per_s * seconds)
    which = np.random.default_rng(seed).integers(len(samples), size=requests)
    due_s = poisson(requests, rate_per_s, seed)
    bodies = (samples[i] for i in which)
    answers = send(url, bodies, due_s, in_flight=IN_FLIGHT, count=requests)
    rows = []
    for i, part in enumerate(np.array_split(np.arange(requests), PARTS)):
        rows.append(row := Row(f"{i + 1} of {PARTS}"))
        count(row, answers, truth[which], part)
    return [*rows, add_up(rows)]


def describe(rows: Sequence[Row]) -> str:
    """For people: a Markdown table."""
    lines = [
        "| part | requests | right | wrong | refused | nobody listened | lost | p50 / p99 ms |",
        "| --- " * 8 + "|",
    ]
    for row in rows:
        took = "" if row.p99_ms is None else f"{row.p50_ms:.0f} / {row.p99_ms:.0f}"
        cells = [row.kind, row.requests, row.right, row.wrong, row.refused, row.not_taken]
        lines.append(f"| {' | '.join(map(str, cells))} | {row.lost_told} | {took} |")
    return "\n".join(lines)
