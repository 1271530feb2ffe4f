"""Where a replica computes: in one thread, so that its event loop stays free; or, where that takes
less time than to wake a thread and be woken by it, in the loop itself.

One, because PyTorch's own threads already use the cores: two forward passes at once on the same
cores make both slower. And all of a replica's PyTorch work, loading included: OpenMP keeps a team
of threads for every thread that has computed, and once there are more of them than cores it puts
them to sleep between operations, which can double the time of a slice.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class ComputeThread:
    """Runs functions in turn, in inference mode, with `threads` threads within an operation."""

    def __init__(self, threads: int):
        self._executor = ThreadPoolExecutor(
            1, thread_name_prefix="compute", initializer=_start, initargs=(threads,)
        )

    def submit(self, function: Callable, *args) -> Future:
        return self._executor.submit(self.call, function, args)

    async def run(self, function: Callable, *args):
        return await self.done(self.submit(function, *args))

    async def done(self, future: Future):
        """The result of `future`, which something submitted here will set."""
        return await asyncio.wrap_future(future)

    def run_now(self, function: Callable, *args):
        """The same for a caller that has no event loop yet, such as a constructor."""
        return self.submit(function, *args).result()

    @staticmethod
    def call(function: Callable, args: tuple):
        import torch  # takes seconds, and whoever deploys a replica does not compute

        with torch.inference_mode():
            return function(*args)


class ComputeLoop:
    """Runs functions in turn on the running event loop, when it has taken in what has arrived."""

    def submit(self, function: Callable, *args) -> None:
        asyncio.get_running_loop().call_soon(ComputeThread.call, function, args)

    async def done(self, future: Future):
        """The same, without a write to wake this loop: it runs what was submitted in turn, before
        it comes back here."""
        await asyncio.sleep(0)
        return future.result(timeout=0)


def _start(threads: int) -> None:
    from cache_models.network.threads import use_threads

    use_threads(threads)
