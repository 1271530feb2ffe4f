"""The versions that a lookup has in memory.

The table is read and changed on the event loop alone. A version is made ready elsewhere, while
others are asked, and enters the table then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT = 3
"""What is in service, what comes next, and one that somebody still asks for."""


class LoadedVersions(Generic[T]):
    """
    Args:
        number, version: one that is ready already.
        load: makes another one ready.
        in_service: the number of the one in service, which stays whatever else is asked for; None
            where that is not known.
    """

    def __init__(
        self,
        number: int,
        version: T,
        load: Callable[[int], Awaitable[T]],
        in_service: Callable[[], Awaitable[int | None]],
    ):
        self._load, self._in_service = load, in_service
        self._ready = {number: version}  # the one asked for last is at the end
        self._loading: dict[int, asyncio.Task[T]] = {}

    async def get(self, number: int) -> T:
        """A version: at once where it is ready, else as soon as it is.

        Raises:
            ArtifactError: it cannot be loaded.
        """
        if number in self._ready:
            version = self._ready[number] = self._ready.pop(number)
            return version
        if (task := self._loading.get(number)) is None:
            task = self._loading[number] = asyncio.create_task(self._enter(number))
            task.add_done_callback(lambda done: self._loading.pop(number))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Who asks may not want to wait so long; others will ask for it, too.
        return await asyncio.shield(task)

    def ready(self) -> list[T]:
        """All versions that are."""
        return list(self._ready.values())

    async def _enter(self, number: int) -> T:
        version = await self._load(number)
        stays = {number, await self._in_service()}
        self._ready[number] = version
        for other in list(self._ready):
            if len(self._ready) > KEPT and other not in stays:
                del self._ready[other]
        return version
