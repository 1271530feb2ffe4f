"""How many requests are let in: as many as are answered in the time that one may wait.

With N requests inside and X answered a second, one stays N / X seconds (Little's law). So beyond
`max_wait_s * X` requests the next is refused, at once and before anything is read, and those inside
are answered in time. X is measured, since batches, hits and the machine change it. A request is
inside once it has been read, so that who sends slowly takes nobody's place.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deployments.config import LoadLimits
from deployments.ingress.errors import Unavailable

MEMORY_S = 2.0
"""Over which answers are counted, the newest the most."""


class Load:
    """Of one router.

    Args:
        clock: in seconds.

    Attributes:
        inside: requests that were let in and have not ended.
        refused: so many since the start.
    """

    def __init__(self, limits: LoadLimits, clock: Callable[[], float] = time.monotonic):
        self._limits, self._clock = limits, clock
        self._at, self._ended = clock(), 0.0
        self._of_streams: Counter[str] = Counter()
        self.inside = self.refused = 0

    @property
    def most(self) -> int:
        """That may be inside."""
        waiting = self._limits.max_wait_s * self.answered_per_s
        return max(self._limits.least_inside, math.floor(waiting))

    @property
    def answered_per_s(self) -> float:
        """Lately."""
        return self._ended * math.exp((self._at - self._clock()) / MEMORY_S) / MEMORY_S

    @property
    def is_high(self) -> bool:
        """Whether so many are inside that what nobody waits for should wait."""
        return 2 * self.inside > self.most

    def check(self, stream: str) -> None:
        """
        Args:
            stream: whose the request is; empty for nobody's.

        Raises:
            Unavailable: too many are inside, or too many of its stream.
        """
        if self.inside >= self.most:
            self._refuse(f"{self.inside} requests are being answered, as many as it can in time")
        if stream and self._of_streams[stream] >= self._limits.max_inside_stream:
            self._refuse(f"{self._of_streams[stream]} requests of this stream are being answered")

    @contextmanager
    def admitted(self, stream: str) -> Iterator[None]:
        """While a request is inside; arguments and errors as of `check`."""
        self.check(stream)
        self.inside += 1
        if stream:
            self._of_streams[stream] += 1
        try:
            yield
        finally:
            self.inside -= 1
            if stream and self._of_streams[stream] > 1:
                self._of_streams[stream] -= 1
            else:
                self._of_streams.pop(stream, None)
            now = self._clock()
            self._ended = 1 + self._ended * math.exp((self._at - now) / MEMORY_S)
            self._at = now

    def _refuse(self, why: str) -> None:
        self.refused += 1
        raise Unavailable(f"the server is at its limit, try again later: {why}")
