"""Asks again and again whether a server is ready, and keeps what it said."""

import time

from workload.chaos.repeated import Repeated
from workload.serving import is_ready

EVERY_S = 0.2
PATIENCE_S = 1.0


class Watch(Repeated):
    """While it is entered.

    Attributes:
        said: when, of `time.perf_counter`, and whether it was ready.
    """

    def __init__(self, url: str):
        super().__init__(EVERY_S)
        self._url = url
        self.said: list[tuple[float, bool]] = []

    def once(self) -> None:
        at_s = time.perf_counter()
        self.said.append((at_s, is_ready(self._url, PATIENCE_S)))

    def not_ready_s(self, since_s: float, until_s: float) -> float:
        """How long after `since_s` it was last heard not to be ready; 0: it always was."""
        no = [at_s for at_s, ready in self.said if since_s <= at_s < until_s and not ready]
        return no[-1] - since_s if no else 0.0
