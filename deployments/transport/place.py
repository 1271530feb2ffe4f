"""The one door from router to replicas: `Deployed.ask`.

A stage is asked by ZeroMQ where a replica of it is connected, else by Serve's handle. What the
errors mean is in `errors`: a lost question goes by handle once more, since Serve knows who runs,
and waits for somebody who does.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import ray
from ray.serve.handle import DeploymentHandle

from cache_models.network.stages import Message, Reply, Stage
from deployments.config import LaneArgs
from deployments.health import check
from deployments.transport import replicas
from deployments.transport.breaker import Breaker
from deployments.transport.errors import Lost, PlaceError
from deployments.transport.handle import INLINE_BYTES, ByHandle
from deployments.transport.zmq.client import Client
from deployments.transport.zmq.key import load_key

logger = logging.getLogger(__name__)


def connect(
    stages: Iterable[Stage],
    handles: Mapping[str, DeploymentHandle],
    args: LaneArgs,
    store: str | Path,
    bytes_per_value: int,
) -> "Deployed":
    """The stages of one application, to ask.

    Args:
        handles: by stage name.
        store: where the key lies.
        bytes_per_value: of the activations that travel.

    Raises:
        KeyFileError: the key cannot be read.
    """
    key = load_key(Path(store)) if args.enabled else None
    node_id = ray.get_runtime_context().get_node_id() if key is not None else ""
    found = {}
    for stage in stages:
        client = Client(key, node_id) if key is not None else None
        found[stage] = StageReplicas(
            handles[stage.name], stage.reply_row_bytes(bytes_per_value), client
        )
    return Deployed(found)


class Deployed:
    """The stages of one application, each a deployment, as `cache_models.cascade.Place`."""

    def __init__(self, deployments: Mapping[Stage, "StageReplicas"]):
        self._deployments = {stage.name: d for stage, d in deployments.items()}
        self._stages = list(deployments)
        self._row_bytes = max((d.reply_row_bytes for d in deployments.values()), default=0)
        self._breaker = Breaker()
        self._following: asyncio.Task[None] | None = None
        self._clients = [(d.handle, d.client) for d in deployments.values() if d.client]

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        """The reply of one stage.

        Raises:
            PlaceError: there is none; the kind says why.
        """
        self._follow()
        self._breaker.check(stage)
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    until = None if timeout_s is None else time.monotonic() + timeout_s
                    reply = await self._deployments[stage.name].ask(message, until)
            except TimeoutError as error:
                raise Lost(f"{stage.name} has not answered within {timeout_s} s") from error
        except PlaceError as error:
            self._breaker.failed(stage, error)
            raise
        self._breaker.answered(stage)
        return reply

    def check_health(self) -> None:
        """
        Raises:
            RuntimeError: replicas that start are not found any more.
        """
        check("the search for replicas", self._following)

    async def ping(self, stages: Iterable[Stage]) -> None:
        """Returns once a replica of each is there to answer."""
        self._follow()
        await asyncio.gather(*(self._deployments[s.name].by_handle.ping() for s in stages))

    async def prepare(self, version: int) -> None:
        """Have every lookup replica load a version of the caches, before requests name it.

        Raises:
            PlaceError: not all of them have.
        """
        lookups = [self._deployments[s.name].by_handle for s in self._stages if s.is_lookup]
        await asyncio.gather(*(lookup.tell_all("prepare", version) for lookup in lookups))

    def max_rows(self, row_bytes: int) -> int:
        """Rows that travel well in one message.

        Args:
            row_bytes: of what is asked; what stages hand on is known here.
        """
        return max(1, INLINE_BYTES // max(row_bytes, self._row_bytes))

    @property
    def failures(self) -> Counter[str]:
        """Of lookups, by cut point."""
        return self._breaker.failures

    @property
    def by_way(self) -> dict[str, dict[str, int]]:
        """By stage, how many questions were answered which way, and how many replicas are
        connected."""
        return {name: deployment.by_way for name, deployment in self._deployments.items()}

    def _follow(self) -> None:
        """Begin to look for replicas to connect to, unless that has begun."""
        if self._following is None and self._clients:
            self._following = replicas.begin(self._clients)


class StageReplicas:
    """One stage's replicas, by both ways."""

    def __init__(self, handle: DeploymentHandle, reply_row_bytes: int, client: Client | None):
        self.handle, self.reply_row_bytes, self.client = handle, reply_row_bytes, client
        self.by_handle = ByHandle(handle, reply_row_bytes)
        self._answered: Counter[str] = Counter()

    @property
    def by_way(self) -> dict[str, int]:
        connected = self.client.connected if self.client else 0
        answered = {way: self._answered[way] for way in ("lane", "handle")}
        return answered | {"connected": connected}

    async def ask(self, message: Message, until: float | None) -> Reply:
        if self.client is not None and self.client.connected:
            try:
                return self._count("lane", await self.client.ask(message, until))
            except Lost as error:
                logger.debug("once more, by handle: %s", error)
        else:
            try:
                return self._count("handle", await self.by_handle.ask(message, until))
            except Lost as error:
                logger.debug("once more: %s", error)
        return self._count("handle", await self.by_handle.ask(message, until))

    def _count(self, way: str, reply: Reply) -> Reply:
        self._answered[way] += 1
        return reply
