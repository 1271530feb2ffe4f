"""Requests of streams that the base DNN is asked about, and may not have to be.

Where frames come faster than the base DNN answers, each of them misses for want of the answer to
the one before, which is under way. The more of them wait, the longer it takes, and the less is
known of the stream: from then on everything misses. So of those that wait the earliest is asked
anew as soon as a request that came before it has been answered and remembered, and where that is a
hit, the next one. They are answered what they would have been, had they come a little later.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cache_models.cascade.request import OfStream
from cache_models.network.stages import Verdict

Out = TypeVar("Out")


class _Waiting:
    """A request that came then, and what tells it that more is known of its stream."""

    def __init__(self, at: float):
        self.at = at
        self.news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(self) -> None:
        if not self.news.done():
            self.news.set_result(None)


class UnderWay:
    """Of one router."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[_Waiting]] = defaultdict(list)

    @property
    def waiting(self) -> int:
        """Requests."""
        return sum(map(len, self._waiting.values()))

    def learned(self, stream: str, at: float) -> None:
        """What came then is remembered."""
        later = [waiting for waiting in self._waiting.get(stream, ()) if waiting.at > at]
        if later:
            min(later, key=lambda waiting: waiting.at).tell()

    async def unless_known(
        self,
        running: Awaitable[Out],
        of: OfStream,
        ask: Callable[[], Awaitable[Verdict | None]],
    ) -> Out | Verdict:
        """What `running` returns; or before that what `ask` does, where it is a hit of all rows."""
        task = asyncio.ensure_future(running)
        with self._as_waiting(of) as waiting:
            try:
                while True:
                    await asyncio.wait((task, waiting.news), return_when=asyncio.FIRST_COMPLETED)
                    if task.done():
                        return task.result()
                    waiting.news = asyncio.get_running_loop().create_future()
                    verdict = await ask()
                    if not task.done() and verdict is not None and verdict.hits.all():
                        self.learned(of.stream, of.at)
                        return verdict
            finally:
                drop(task)

    @contextmanager
    def _as_waiting(self, of: OfStream) -> Iterator[_Waiting]:
        waiting = _Waiting(of.at)
        self._waiting[of.stream].append(waiting)
        try:
            yield waiting
        finally:
            self._waiting[of.stream].remove(waiting)
            if not self._waiting[of.stream]:
                del self._waiting[of.stream]


def drop(task: "asyncio.Future[Out] | None") -> None:
    """Nobody wants its result; a slice that has begun is computed to its end all the same."""
    if task is not None:
        task.cancel()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
