"""First come, first served: who waits for something of which there is a limited number."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Admission(Generic[T]):
    """
    Args:
        take: takes one, if there is one to take.
        give_back: undoes that, for somebody who was given one and did not wait for it.
    """

    def __init__(self, take: Callable[[], T | None], give_back: Callable[[T], None]):
        self._take, self._give_back = take, give_back
        self._queue: deque[asyncio.Future[T]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def now(self) -> T | None:
        """One, unless there is none, or others wait for it."""
        return None if self._queue else self._take()

    async def turn(self, first: bool = False) -> T:
        """One, as soon as it is this caller's turn.

        Args:
            first: before all others, as somebody who has waited already.
        """
        if not first and (taken := self.now()) is not None:
            return taken
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if first:
            self._queue.appendleft(turn)
        else:
            self._queue.append(turn)
        self.serve()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back(turn.result())
                self.serve()
            elif turn in self._queue:
                self._queue.remove(turn)
            raise

    def serve(self) -> None:
        """To be called when there may be one again."""
        while self._queue and (taken := self._take()) is not None:
            turn = self._queue.popleft()
            while turn.done() and self._queue:  # does not wait any more
                turn = self._queue.popleft()
            if turn.done():
                self._give_back(taken)
            else:
                turn.set_result(taken)

    def dismiss(self, error: Exception) -> None:
        """Nobody needs to wait any longer: there will be none."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_exception(error)
