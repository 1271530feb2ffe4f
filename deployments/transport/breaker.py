"""A lookup that keeps failing is left alone, so that nobody waits for what is not there; one
request now and then tries it (a half-open circuit breaker: Nygard, Release It!, 2007).

Where it was only late, for there was much to do, that is soon: all that it does not answer the base
DNN must, and there would be more to do for longer.
"""

import logging
import time
from collections import Counter

from cache_models.network.stages import Stage
from deployments.transport.errors import Lost

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
"""In a row."""
TRY_S = 0.1
"""Between two that try."""


class Breaker:
    """
    Attributes:
        failures: of lookups, by cut point.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._try_at: dict[str, float] = {}

    def check(self, stage: Stage) -> None:
        """
        Raises:
            Lost: the stage is not to be asked now.
        """
        if self._in_a_row[stage.name] < MAX_FAILURES:
            return
        if (now := time.monotonic()) < self._try_at[stage.name]:
            raise Lost(f"{stage.name} is left alone for a moment")
        self._try_at[stage.name] = now + TRY_S

    def answered(self, stage: Stage) -> None:
        self._in_a_row[stage.name] = 0

    def failed(self, stage: Stage, error: Exception) -> None:
        if not stage.is_lookup:
            return  # nothing else could answer
        self.failures[stage.start] += 1
        self._in_a_row[stage.name] += 1
        if self._in_a_row[stage.name] >= MAX_FAILURES:
            self._try_at[stage.name] = time.monotonic() + TRY_S
        if self._in_a_row[stage.name] == MAX_FAILURES:
            logger.warning("%s is left alone but for one request in %s s: %r", stage, TRY_S, error)
