"""Where a replica computes: in one thread, so that its event loop stays free; or, where that takes
less time than to wake a thread and be woken by it, in the loop itself.

One, because an engine's own threads already use the cores: two forward passes at once on the same
cores make both slower.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class ComputeThread:
    """Runs functions in turn."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="compute")

    def submit(self, function: Callable, *args) -> Future:
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

    def submit(self, function: Callable, *args) -> None:
        asyncio.get_running_loop().call_soon(function, *args)

    async def done(self, future: Future):
        """The same, without a write to wake this loop: it runs what was submitted in turn, before
        it comes back here."""
        await asyncio.sleep(0)
        return future.result(timeout=0)
