"""Ratios of mean latencies with 95 % intervals, by resampling what was measured together."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 2_000
FEW = 10
"""Below so many blocks the bootstrap's intervals are too narrow, and Student's t is used."""


@dataclass(frozen=True)
class Ratio:
    """
    Attributes:
        n: pairs or blocks.
        low, high: of the 95 % interval; None where n is too small for one.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def of_pairs(reference: np.ndarray, other: np.ndarray) -> Ratio | None:
    """Mean of `reference` over mean of `other`, each pair measured in the same turn, so that what
    slows both down cancels.

    Args:
        reference, other: `(n,)`; pairs with a NaN do not count.
    """
    both = np.isfinite(reference) & np.isfinite(other)
    reference, other = reference[both], other[both]
    if not len(reference):
        return None
    value = float(reference.mean() / other.mean())
    if len(reference) < FEW:
        return Ratio(value, None, None, len(reference))
    if np.ptp(reference / other) < 1e-12:  # nothing to resample, such as a contender with itself
        return Ratio(value, value, value, len(reference))
    interval = stats.bootstrap(
        (reference, other),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=100,
        rng=0,
    ).confidence_interval
    return Ratio(value, float(interval.low), float(interval.high), len(reference))


def of_turns(reference: np.ndarray, other: np.ndarray, in_a_row: int) -> Ratio | None:
    """The same where each turn was of `in_a_row` requests, which resemble one another more than
    those of other turns do: whole turns are resampled.

    Args:
        reference, other: `(n,)`, in order; pairs with a NaN do not count.
    """
    both = np.isfinite(reference) & np.isfinite(other)
    turns = [
        (reference[at][kept].mean(), other[at][kept].mean())
        for start in range(0, len(both), in_a_row)
        if (kept := both[at := slice(start, start + in_a_row)]).any()
    ]
    return of_pairs(*np.array(turns).reshape(-1, 2).T)


def of_blocks(reference: np.ndarray, other: np.ndarray) -> Ratio | None:
    """The same of whole blocks, the mean latency of each, of which there may be few: requests in a
    block wait for one another, so they are no evidence each for itself.

    With few blocks the interval is Student's, of the blocks' log ratios.
    """
    both = np.isfinite(reference) & np.isfinite(other)
    reference, other = reference[both], other[both]
    n = len(reference)
    if n >= FEW or not n:
        return of_pairs(reference, other)
    logs = np.log(reference / other)
    value = float(np.exp(logs.mean()))
    if n < 2:
        return Ratio(value, None, None, n)
    half = stats.t.ppf(0.975, n - 1) * logs.std(ddof=1) / np.sqrt(n)
    return Ratio(value, float(value * np.exp(-half)), float(value * np.exp(half)), n)
