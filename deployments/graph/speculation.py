"""Lookup first, or lookup and the next partition at once?

At once saves a request that misses the time of the lookup. It wastes a slice of every request that
hits: nobody's time while there is capacity to spare, else that of whoever waits for it. With hit
rate h, lookup L and slice P in milliseconds, and u the share of time in which the router has
requests, at once is better where

    (1 - h) min(L, P) > h u P

All four are averages over the last requests, so the choice follows the traffic.
"""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from cache_models.network.stages import Stage

RECENT = 0.02
"""Weight of the newest observation in an average."""
BUSY_S = 2.0
"""Over which the share of busy time is averaged."""


Kind = Literal["auto", "sequential", "speculative"]


class Speculation:
    """The choices at all lookups, as `cascade.Speculation` wants them.

    Args:
        kind: as `AppArgs.order` has it.
        pressed: whether there is no capacity to waste just now.

    Attributes:
        busy: to be told of requests that begin and end.
    """

    def __init__(
        self, stages: Sequence[Stage], kind: Kind, pressed: Callable[[], bool] = lambda: False
    ):
        self.busy, self._pressed = Busy(), pressed
        self._at = {stage.name: _Choice(kind) for stage in stages if stage.is_lookup}
        self._before = {
            after.name: self._at[before.name]
            for before, after in pairwise(stages)
            if before.is_lookup
        }

    def begins_early(self, lookup: Stage) -> bool:
        """Whether the next partition begins while this lookup is asked."""
        return not self._pressed() and self._at[lookup.name].speculates(self.busy.share)

    def looked_up(self, lookup: Stage, hits: int, rows: int, ms: float) -> None:
        """A lookup has answered."""
        self._at[lookup.name].looked_up(hits, rows, ms)

    def ran(self, partition: Stage, ms: float) -> None:
        """A partition has answered."""
        if choice := self._before.get(partition.name):
            choice.ran(ms)


class _Choice:
    """At one lookup."""

    def __init__(self, kind: Kind):
        self._kind = kind
        self._hit_rate: float | None = None
        self._lookup_ms: float | None = None
        self._slice_ms: float | None = None

    def looked_up(self, hits: int, rows: int, ms: float) -> None:
        """A lookup has answered."""
        self._hit_rate = _average(self._hit_rate, hits / rows)
        self._lookup_ms = _average(self._lookup_ms, ms)

    def ran(self, ms: float) -> None:
        """The next partition has answered."""
        self._slice_ms = _average(self._slice_ms, ms)

    def speculates(self, busy: float) -> bool:
        """
        Args:
            busy: share of time in which the router has requests, 0 to 1.
        """
        if self._kind != "auto":
            return self._kind == "speculative"
        if self._hit_rate is None or self._lookup_ms is None or self._slice_ms is None:
            return False
        saved_ms = (1 - self._hit_rate) * min(self._lookup_ms, self._slice_ms)
        return saved_ms > self._hit_rate * busy * self._slice_ms


class Busy:
    """Share of the last time in which there was anything to do.

    Attributes:
        active: requests that have begun and not ended.
    """

    def __init__(self):
        self._at = time.monotonic()
        self.active, self._share = 0, 0.0

    def change(self, by: int) -> None:
        """So many requests more, or fewer."""
        self._share, self._at = self.share, time.monotonic()
        self.active += by

    @property
    def share(self) -> float:
        weight = min(1.0, (time.monotonic() - self._at) / BUSY_S)
        return (1 - weight) * self._share + weight * (self.active > 0)


def _average(old: float | None, new: float) -> float:
    return new if old is None else (1 - RECENT) * old + RECENT * new
