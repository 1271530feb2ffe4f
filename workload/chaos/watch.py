"""Asks again and again whether a server is ready, and keeps what it said."""

import threading
import time

from workload.serving import is_ready

EVERY_S = 0.2
PATIENCE_S = 1.0


class Watch:
    """While it is entered.

    Attributes:
        said: when, of `time.perf_counter`, and whether it was ready.
    """

    def __init__(self, url: str):
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self.said: list[tuple[float, bool]] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            at_s = time.perf_counter()
            self.said.append((at_s, is_ready(self._url, PATIENCE_S)))

    def not_ready_s(self, since_s: float, until_s: float) -> float:
        """How long after `since_s` it was last heard not to be ready; 0: it always was."""
        no = [at_s for at_s, ready in self.said if since_s <= at_s < until_s and not ready]
        return no[-1] - since_s if no else 0.0
