"""A stage's copy in this process: a way to ask it that goes nowhere."""

from typing import Protocol

from cache_models.network.stages import Message, Reply


class Local(Protocol):
    """A lookup that is asked here, as long as that keeps up; else its deployment is."""

    async def ask(self, message: Message, timeout_s: float | None = None) -> Reply:
        """Arguments as of `Place.ask`.

        Raises:
            Refused: it has enough to do.
            PlaceError: there is no reply; the kind says why.
        """
        ...

    async def forget(self) -> None:
        """All that it remembers of streams."""
        ...

    async def prepare(self, version: int) -> None:
        """Have a version of the caches loaded.

        Raises:
            Exception: it cannot be.
        """
        ...
