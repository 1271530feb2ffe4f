"""Learning beside requests: it computes for a share of the time only.

Even a thread that runs only when nobody wants the core takes memory bandwidth and caches from the
requests that it meets, so that fewer should meet it.
"""

import time
from collections.abc import Callable

LONGEST_S = 0.2


class DutyCycle:
    """
    Args:
        share: of the time in which to compute while there are requests, 0 to 1.
        busy: whether there are.
    """

    def __init__(self, share: float, busy: Callable[[], bool]):
        self._share, self._busy = share, busy
        self._since = time.monotonic()

    def rest(self) -> None:
        """To be called after every small piece of work."""
        worked_s = time.monotonic() - self._since
        if self._busy():
            time.sleep(min(LONGEST_S, worked_s * (1 / self._share - 1)))
        self._since = time.monotonic()
