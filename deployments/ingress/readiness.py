"""Whether requests would be answered; everything that is asked about readiness asks here."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cache_models.network.stages import Stage
from deployments.ingress.errors import Unavailable

PING_S = 1.0


class Readiness:
    """Of one router.

    Args:
        ping: returns once a replica of each stage is there to answer.
        asked: returns once the trainer has been asked whether caches may answer.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        ping: Callable[[Sequence[Stage]], Awaitable[object]],
        asked: Callable[[], Awaitable[object]],
    ):
        self._stages, self._ping, self._asked = stages, ping, asked
        self._lookups_seen = False

    async def check(self) -> None:
        """All partitions answer, every lookup has once (one lost later costs only hits), and the
        trainer has been asked.

        Raises:
            Unavailable: not so.
        """
        needed = [s for s in self._stages if not (s.is_lookup and self._lookups_seen)]
        try:
            async with asyncio.timeout(PING_S):
                await self._ping(needed)
                await self._asked()
        except Exception as error:
            raise Unavailable(f"not all deployments answer yet: {error!r}") from error
        self._lookups_seen = True
