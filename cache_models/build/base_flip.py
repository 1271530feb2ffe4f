"""How often the base DNN changes its own answer when an input is hardly changed.

Inputs that differ by so little come again in service, from another camera or saved once more. A
cache that tells them apart no better than the eye does errs on one of them wherever the base DNN
flips, so that nobody can promise less there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from cache_models.data.nudges import Nudge, nudges
from cache_models.data.recording import record
from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import CutModel

SAMPLES = 300
"""So many are tried in a build."""


@dataclass(frozen=True)
class Flips:
    """Of `samples` inputs that were changed in one way, `flips` got another answer."""

    change: str
    flips: int
    samples: int

    @property
    def share(self) -> float:
        return self.flips / self.samples

    def __str__(self) -> str:
        found = binomtest(self.flips, self.samples).proportion_ci(0.95, "exact")
        return (
            f"{self.share:.1%} of {self.samples} samples (95 % interval {found.low:.1%} to "
            f"{found.high:.1%})"
        )


def base_flips(
    base: BaseDNN,
    model: CutModel,
    given: np.ndarray,
    rows: np.ndarray,
    folder: Path,
    device: str = "cpu",
    most: int = SAMPLES,
    seed: int = 0,
) -> list[Flips]:
    """How often each change flips the answer; empty where samples are tensors.

    Args:
        model: of the base DNN.
        given: samples, `(N, h, w, C)` uint8 or `(N, *input_shape)` float32.
        rows: indices of those to try.
        folder: for what is recorded.
        most: so many of them, at random.
    """
    there = nudges(base.description, given)
    if there is None:
        return []
    some = np.random.default_rng(seed).permutation(rows)[:most]
    readable = [given[i] for i in some if _can_be_changed(there.as_it_was, given[i])]
    if not readable:
        return []
    ways = [there.as_it_was, *there.changed.values()]
    changed = np.stack([change(one) for change in ways for one in readable])
    answers = record(base, model, [], changed, folder, device).answers
    before, *after = answers.reshape(len(ways), len(readable))
    return [
        Flips(name, int((others != before).sum()), len(readable))
        for name, others in zip(there.changed, after, strict=True)
    ]


def told(found: Sequence[Flips], max_disagreement: float) -> str | None:
    """A sentence for the plan where the base DNN flips more often than caches may err; None where
    it does not."""
    worst = max(found, key=lambda flips: flips.share, default=None)
    if worst is None or worst.share <= max_disagreement:
        return None
    return (
        f"the base DNN changes its own answer to {worst} when each is {worst.change}, so "
        f"{max_disagreement:.2%} cannot be promised where samples differ by so little"
    )


def describe(found: Sequence[Flips]) -> str:
    """A line a change, for people.

    Raises:
        DataError: there is none.
    """
    if not found:
        raise DataError(
            "the samples are tensors, of which nobody knows what leaves them alike: give pictures, "
            "sounds or texts"
        )
    return "\n".join(
        f"the base DNN changes its answer to {flips} when each is {flips.change}" for flips in found
    )


def _can_be_changed(as_it_was: Nudge, given: np.ndarray) -> bool:
    """Not, where a text is made of nothing but tokens that stand for no word."""
    try:
        as_it_was(given)
    except DataError:
        return False
    return True
