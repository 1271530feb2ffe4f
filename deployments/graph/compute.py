"""Where a replica computes: in one thread, so that its event loop stays free; or, where that takes
less time than to wake a thread and be woken by it, in the loop itself.

One, because an engine's own threads already use the cores: two forward passes at once on the same
cores make both slower.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from deployments.transport.errors import Lost


class ComputeThread:
    """Runs functions in turn, in a thread that begins with the first of them.

    Args:
        begin: called in it before all others.
    """

    def __init__(self, begin: Callable[[], None] = lambda: None) -> None:
        self._begin = begin
        self._thread: threading.Thread | None = None
        self._executor = ThreadPoolExecutor(1, "compute", initializer=self._begins)

    def _begins(self) -> None:
        self._thread = threading.current_thread()
        self._begin()

    def check_health(self) -> None:
        """
        Raises:
            RuntimeError: it has begun and ended, so nothing is computed any more.
        """
        if self._has_ended:
            raise RuntimeError("a thread that computes has ended")

    @property
    def _has_ended(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()

    def submit(self, function: Callable, *args) -> Future:
        """The result, to come.

        Raises:
            Lost: it would never come.
        """
        if self._has_ended:
            raise Lost("a thread that computes has ended")
        return self._executor.submit(function, *args)

    async def run(self, function: Callable, *args):
        return await self.done(self.submit(function, *args))

    async def done(self, future: Future):
        """The result of `future`, which something submitted here will set."""
        return await asyncio.wrap_future(future)

    def run_now(self, function: Callable, *args):
        """The same for a caller that has no event loop yet, such as a constructor."""
        return self.submit(function, *args).result()


class ComputeLoop:
    """Runs functions in turn on the running event loop, when it has taken in what has arrived."""

    def check_health(self) -> None:
        """Whoever calls this is on that loop."""

    def submit(self, function: Callable, *args) -> None:
        asyncio.get_running_loop().call_soon(function, *args)

    async def done(self, future: Future):
        """The same, without a write to wake this loop: it runs what was submitted in turn, before
        it comes back here."""
        await asyncio.sleep(0)
        return future.result(timeout=0)
