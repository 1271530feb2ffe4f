"""A lookup that keeps failing is left alone for a while, so that requests do not wait for what is
not there."""

import logging
import time
from collections import Counter

from cache_models.network.stages import Stage
from deployments.transport.errors import Lost

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
"""In a row."""
CLOSED_S = 1.0


class Breaker:
    """
    Attributes:
        failures: of lookups, by cut point.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._closed_until: dict[str, float] = {}

    def check(self, stage: Stage) -> None:
        """
        Raises:
            Lost: the stage is not to be asked now.
        """
        if time.monotonic() < self._closed_until.get(stage.name, 0.0):
            raise Lost(f"{stage.name} is left alone for a while")

    def answered(self, stage: Stage) -> None:
        self._in_a_row[stage.name] = 0

    def failed(self, stage: Stage, error: Exception) -> None:
        if not stage.is_lookup:
            return  # nothing else could answer
        self.failures[stage.start] += 1
        self._in_a_row[stage.name] += 1
        if self._in_a_row[stage.name] >= MAX_FAILURES:
            self._closed_until[stage.name] = time.monotonic() + CLOSED_S
            logger.warning("%s is left alone for %s s: %r", stage.name, CLOSED_S, error)
