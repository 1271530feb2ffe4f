"""Who writes to a store: one trainer at a time.

Two applications may serve one store, on purpose, or while an update replaces one by the other. The
first learns in it. The other watches its own caches as always, and writes nothing, until the first
is gone: then it goes on where that was.
"""

import fcntl
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

FILE = "trainer.lock"


class Ownership:
    """
    Args:
        store: its folder. Of a store on several nodes the file system must know `flock`.
    """

    def __init__(self, store: Path):
        self._store, self._said = store, False
        # held for as long as the process lives
        self._file = os.open(store / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._mine = False

    def mine(self) -> bool:
        """Whether this process writes to the store, from now on if nobody else does."""
        if not self._mine:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._mine = True
                logger.info("this trainer learns in %s", self._store)
            except BlockingIOError:
                if not self._said:
                    logger.warning(
                        "another application learns in %s: this one writes nothing there until "
                        "that is gone; give it a store of its own if both are to learn",
                        self._store,
                    )
                self._said = True
        return self._mine

    def check(self) -> None:
        """
        Raises:
            ValueError: another application's trainer writes to the store.
        """
        if not self.mine():
            raise ValueError(
                f"another application learns in {self._store}: ask that one, or give this one a "
                f"store of its own"
            )
