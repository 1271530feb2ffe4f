"""What is done every so often beside the traffic."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class Repeated(ABC):
    """While it is entered, does one thing again and again, in a thread of its own.

    Args:
        every_s: between the end of one time and the next.
    """

    def __init__(self, every_s: float):
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.once()

    @abstractmethod
    def once(self) -> None:
        """The thing."""
