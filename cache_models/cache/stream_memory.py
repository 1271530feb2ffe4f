"""What a lookup remembers of streams: bounded in streams and in time, in memory alone.

A stream's key is part of where its entries lie, and nothing reads those of another. What is lost,
with a replica or for lack of room, costs hits and nothing else.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cache_models.cache.recall import ENTRIES, Memory, memory


class StreamLimits(NamedTuple):
    """What a lookup replica may remember.

    Attributes:
        max_streams: at once; the one that has not been seen for longest goes. 0 remembers none.
        ttl_s: after which a stream that sends nothing is forgotten.
    """

    max_streams: int = 10_000
    ttl_s: float = 600.0


def bytes_each(directions: int, kept: int = ENTRIES) -> int:
    """Of the entries of one stream, so many at most, with vectors of so many values."""
    return kept * (4 * directions + 8 + 8)


class StreamMemory:
    """
    Args:
        directions: of the vectors.
        kept: entries of a stream, at most.
        clock: in seconds, of the time to live.
    """

    def __init__(
        self,
        directions: int,
        limits: StreamLimits,
        clock: Callable[[], float] = time.monotonic,
        kept: int = ENTRIES,
    ):
        self._directions, self._limits, self._clock = directions, limits, clock
        self._kept = kept
        self._streams: OrderedDict[str, tuple[float, Memory]] = OrderedDict()
        """Those seen last at the end, each with when."""

    def __len__(self) -> int:
        """Streams that have not expired."""
        self._expire()
        return len(self._streams)

    @property
    def bytes(self) -> int:
        """Of the entries of all of them."""
        return len(self) * bytes_each(self._directions, self._kept)

    def entries(self, stream: str) -> Memory | None:
        """Of one stream, `N = 1`; None where nothing is known of it."""
        self._expire()
        if stream not in self._streams:
            return None
        _, entries = self._streams[stream]
        self._seen(stream, entries)
        return entries

    def put(self, stream: str, vectors: np.ndarray, class_ids: np.ndarray, at: float) -> None:
        """What the base DNN answered to requests of a stream.

        Args:
            vectors: `(B, d)`.
            class_ids: `(B,)`.
            at: when they came.
        """
        if not stream or not self._limits.max_streams:
            return
        self._expire()
        _, entries = self._streams.get(stream, (0.0, None))
        if entries is None:
            entries = memory(1, self._directions, self._kept)
        for vector, class_id in zip(vectors[-self._kept :], class_ids[-self._kept :], strict=True):
            entries.put(np.zeros(1, int), vector, int(class_id), at)
        self._seen(stream, entries)
        while len(self._streams) > self._limits.max_streams:
            self._streams.popitem(last=False)

    def forget(self) -> None:
        """All streams."""
        self._streams.clear()

    def _seen(self, stream: str, entries: Memory) -> None:
        self._streams[stream] = (self._clock(), entries)
        self._streams.move_to_end(stream)

    def _expire(self) -> None:
        least = self._clock() - self._limits.ttl_s
        while self._streams and next(iter(self._streams.values()))[0] < least:
            self._streams.popitem(last=False)
