"""One door for work that would hold an event loop up: large pictures, tensors and responses.

The loop answers small requests in a few milliseconds while a large picture may take seconds, so
whatever takes more than about a millisecond comes here. Huge pictures have a thread of their own:
one at a time bounds memory, and the merely large need not wait behind it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deployments.ingress.errors import Unavailable

T = TypeVar("T")

LARGE_THREADS = 2
HUGE_PIXELS = 8_000_000
"""From here on a picture is huge. One of 50 million pixels takes 0.5 GB while it is decoded, one of
8 million 0.1 GB."""
MAX_UNDER_WAY = 64
"""More are refused, since each that waits keeps its body in memory."""


class Workers:
    """Threads of one router."""

    def __init__(self) -> None:
        self._large = ThreadPoolExecutor(LARGE_THREADS, "large")
        self._huge = ThreadPoolExecutor(1, "huge")
        self._under_way = 0

    async def run(self, function: Callable[..., T], *args, pixels: int = 0) -> T:
        """What `function(*args)` returns or raises. If the caller is cancelled, work that has begun
        is done to its end, and other work never.

        Args:
            pixels: of the picture that it is about.

        Raises:
            Unavailable: too much is under way already.
        """
        if self._under_way >= MAX_UNDER_WAY:
            raise Unavailable(
                f"{MAX_UNDER_WAY} large requests are being read already; try again later"
            )
        self._under_way += 1
        try:
            threads = self._huge if pixels >= HUGE_PIXELS else self._large
            return await asyncio.get_running_loop().run_in_executor(threads, function, *args)
        finally:
            self._under_way -= 1
