"""What is due in the background, and why: to run a round of retraining, to delete what has expired.

It only decides. Whoever asks does the work, and says when it was done.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from deployments.config import Retraining

TIDY_S = 60.0


class Seen(NamedTuple):
    """What the traffic looks like now.

    Attributes:
        mix: recent shares of the classes, `(K,)`.
        why_off: why caches are off by themselves; None while they may answer.
        hit_rate: of recent requests.
    """

    mix: np.ndarray
    why_off: str | None
    hit_rate: float


class Round(NamedTuple):
    """A round that is due.

    Attributes:
        why: for its record.
        asked_for: by an operator; else it is in vain before a candidate could pass its test.
    """

    why: str
    asked_for: bool


class Schedule:
    """
    Args:
        has_caches: whether the plan has any to retrain.
        clock: in seconds.

    Attributes:
        new_samples: written down since the last round.

    >>> now = 0.0
    >>> schedule = Schedule(Retraining(new_samples=10), has_caches=True, clock=lambda: now)
    >>> seen = Seen(np.ones(2) / 2, None, 0.9)
    >>> schedule.new_samples += 10
    >>> schedule.round_due(seen)
    >>> now += 60  # the least interval
    >>> schedule.round_due(seen)
    Round(why='10 new samples', asked_for=False)
    >>> schedule.round_begins(seen)
    >>> schedule.round_due(seen)
    """

    def __init__(
        self, args: Retraining, has_caches: bool, clock: Callable[[], float] = time.monotonic
    ):
        self._args, self._has_caches, self._clock = args, has_caches, clock
        self.new_samples = 0
        self._asked_for = False
        self._round_at = self._tidied_at = clock()
        self._round_mix: np.ndarray | None = None
        self._round_hit_rate: float | None = None

    def ask_for_round(self) -> None:
        """As soon as there is time."""
        self._asked_for = True

    def round_due(self, seen: Seen) -> Round | None:
        """The round to run now, if any."""
        if self._asked_for:
            return Round("an operator asked for it", asked_for=True)
        why = self._why_round(seen)
        return None if why is None else Round(why, asked_for=False)

    def _why_round(self, seen: Seen) -> str | None:
        args, since_s = self._args, self._clock() - self._round_at
        if not args.rounds or not self._has_caches or since_s < args.min_interval_s:
            return None
        if self.new_samples >= args.new_samples:
            return f"{self.new_samples} new samples"
        if self.new_samples < args.changed_samples:
            return None
        if seen.why_off:
            return f"caches are off: {seen.why_off}"
        if self._round_mix is not None and distance(self._round_mix, seen.mix) > args.mix_moved:
            return "the class mix has moved"
        was = self._round_hit_rate
        if was is not None and seen.hit_rate < was - args.hits_fell:
            return f"the hit rate fell from {was:.1%} to {seen.hit_rate:.1%}"
        if since_s > args.max_interval_s:
            return f"the last round was {since_s:.0f} s ago"
        return None

    def round_begins(self, seen: Seen) -> None:
        """The next round is due some time from now, for other reasons."""
        self._asked_for, self.new_samples = False, 0
        self._round_at = self._clock()
        self._round_mix, self._round_hit_rate = seen.mix, seen.hit_rate

    def tidy_due(self) -> bool:
        """Whether it is time to look for samples that have expired; once a minute."""
        due = self._clock() - self._tidied_at > TIDY_S
        if due:
            self._tidied_at = self._clock()
        return due


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Total variation of two mixes.

    >>> distance(np.array([0.5, 0.5]), np.array([0.9, 0.1]))
    0.4
    """
    return float(np.abs(a - b).sum() / 2)
