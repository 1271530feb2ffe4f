"""Where the router's stages run: `Deployed.ask` is the one door from router to replicas.

Errors have kinds, and who asks acts on the kind.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping

from cache_models.network.stages import Message, Reply, Stage
from deployments.transport.remote import Remote

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
CLOSED_S = 1.0


class PlaceError(Exception):
    """No reply from a stage."""


class Lost(PlaceError):
    """The replica is gone, or does not answer: another one may."""


class Refused(PlaceError):
    """All replicas have as much to do as they may."""


class Failed(PlaceError):
    """The replica computed and raised; it would again."""


class Deployed:
    """The stages of one application, each a deployment.

    A lookup that keeps failing is left alone for a while, so that requests do not wait for what is
    not there.

    Args:
        remotes: by stage name.
        bytes_per_value: of the activations that travel.

    Attributes:
        failures: of lookups, by cut point.
    """

    def __init__(self, remotes: Mapping[str, Remote], bytes_per_value: int):
        self._remotes, self._bytes_per_value = remotes, bytes_per_value
        self._in_a_row: Counter[str] = Counter()
        self._closed_until: dict[str, float] = {}
        self.failures: Counter[str] = Counter()

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        if time.monotonic() < self._closed_until.get(stage.name, 0.0):
            raise Lost(f"{stage.name} is left alone for a while")
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._call(stage, message)
        except Exception as error:
            self._failed(stage, error)
            raise
        self._in_a_row[stage.name] = 0
        return reply

    async def _call(self, stage: Stage, message: Message) -> Reply:
        rows = len(message.batch)
        reply_bytes = rows * stage.reply_row_bytes(self._bytes_per_value)
        method = "look_up" if stage.is_lookup else "run"
        return await self._remotes[stage.name].call(
            method, *message, expected_bytes=max(message.batch.nbytes, reply_bytes)
        )

    def _failed(self, stage: Stage, error: Exception) -> None:
        if not stage.is_lookup:
            return
        self.failures[stage.start] += 1
        self._in_a_row[stage.name] += 1
        if self._in_a_row[stage.name] >= MAX_FAILURES:
            self._closed_until[stage.name] = time.monotonic() + CLOSED_S
            logger.warning("%s is left alone for %s s: %r", stage.name, CLOSED_S, error)
