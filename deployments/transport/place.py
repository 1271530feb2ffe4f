"""The one door from router to replicas: `Deployed.ask`.

A stage is asked in this process where a copy of it is here and has room, else by ZeroMQ where a
replica of it is connected, else by Serve's handle. What the errors mean is in `errors`: a lost
question goes by handle once more, since Serve knows who runs, and waits for somebody who does. One
of several that were lost together may be what the replica died of, so they are asked one after
another: then only that one is lost again. What nobody waits for is asked once.
"""

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import ray
from ray.serve.handle import DeploymentHandle

from cache_models.network.stages import Message, Remember, Reply, Stage, in_background
from deployments.config import LaneArgs
from deployments.health import check
from deployments.tracing import spans
from deployments.transport import replicas
from deployments.transport.breaker import Breaker
from deployments.transport.errors import Lost, PlaceError, Refused
from deployments.transport.handle import INLINE_BYTES, ByHandle
from deployments.transport.local import Local
from deployments.transport.shared_memory import Ring
from deployments.transport.zmq.client import Client
from deployments.transport.zmq.key import load_key

logger = logging.getLogger(__name__)

MAX_TOLD = 64
"""Messages under way that nobody waits for; more are dropped."""
TELL_S = 1.0
"""After which they are given up."""
STATE_S = 2.0
"""After which replicas have not said how they are."""


def connect(
    stages: Iterable[Stage],
    handles: Mapping[str, DeploymentHandle],
    args: LaneArgs,
    store: str | Path,
    bytes_per_value: int,
    own: Mapping[Stage, Local] | None = None,
) -> "Deployed":
    """The stages of one application, to ask.

    Args:
        handles: by stage name.
        store: where the key lies; its folder, or its URL.
        bytes_per_value: of the activations that travel.
        own: stages' copies in this process.

    Raises:
        KeyFileError: the key cannot be read.
    """
    key = load_key(store) if args.enabled else None
    node_id = ray.get_runtime_context().get_node_id() if key is not None else ""
    ring = Ring.of(args.shared_bytes, args.hold_s) if key is not None else None
    found = {}
    for stage in stages:
        client = Client(key, node_id, ring) if key is not None else None
        found[stage] = StageReplicas(
            handles[stage.name],
            stage.reply_row_bytes(bytes_per_value),
            client,
            (own or {}).get(stage),
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
        self._telling: set[asyncio.Task[None]] = set()
        self._clients = [(d.handle, d.client) for d in deployments.values() if d.client]

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        """The reply of one stage.

        Raises:
            PlaceError: there is none; the kind says why.
        """
        with spans.hop(stage, message) as span:
            reply = await self._ask(stage, message, timeout_s)
            spans.replied(span, reply)
        return reply

    async def _ask(self, stage: Stage, message: Message, timeout_s: float | None) -> Reply:
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

    def tell(self, stage: Stage, message: Remember) -> None:
        """What nobody waits for; one that is refused or lost is no failure."""
        if len(self._telling) >= MAX_TOLD:
            return
        # In a context of its own: in that of a request, it would be cancelled with the request.
        loop, context = asyncio.get_running_loop(), contextvars.Context()
        telling = loop.create_task(self._tell(stage, message), context=context)
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, stage: Stage, message: Remember) -> None:
        self._follow()
        try:
            async with asyncio.timeout(TELL_S):
                await self._deployments[stage.name].ask(message, time.monotonic() + TELL_S)
        except (PlaceError, TimeoutError) as error:
            logger.debug("%s does not remember: %r", stage.name, error)

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
        """Have every lookup replica, and every copy here, load a version of the caches, before
        requests name it.

        Raises:
            Exception: not all of them have.
        """
        lookups = [self._deployments[s.name] for s in self._stages if s.is_lookup]
        await asyncio.gather(
            *(lookup.by_handle.tell_all("prepare", version) for lookup in lookups),
            *(lookup.here.prepare(version) for lookup in lookups if lookup.here),
        )

    async def forget_here(self) -> None:
        """Have the copies here forget what they remember of streams."""
        own = [d.here for d in self._deployments.values() if d.here is not None]
        await asyncio.gather(*(lookup.forget() for lookup in own))

    async def forget_streams(self) -> None:
        """Have every lookup replica, and every copy here, forget what it remembers of streams.

        Raises:
            PlaceError: not all of them have.
        """
        lookups = [self._deployments[s.name].by_handle for s in self._stages if s.remembers]
        told = (lookup.tell_all("forget") for lookup in lookups)
        await asyncio.gather(self.forget_here(), *told)

    async def states(self) -> dict[str, list[dict[str, float]]]:
        """What every replica says of itself, by stage; nothing of a stage that does not answer."""
        told = await asyncio.gather(
            *(d.by_handle.tell_all("state", timeout_s=STATE_S) for d in self._deployments.values()),
            return_exceptions=True,
        )
        found = {}
        for name, states in zip(self._deployments, told, strict=True):
            if isinstance(states, BaseException):
                logger.warning("%s does not say how it is: %r", name, states)
            else:
                found[name] = states
        return found

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
    def by_way(self) -> dict[str, dict[str, float]]:
        """By stage: how many questions were answered which way; how many replicas are connected;
        how many questions wait here; and of those that somebody waited for, how many, and the
        milliseconds that were neither queue nor compute of the replica."""
        return {name: deployment.by_way for name, deployment in self._deployments.items()}

    def _follow(self) -> None:
        """Begin to look for replicas to connect to, unless that has begun."""
        if self._following is None and self._clients:
            self._following = replicas.begin(self._clients)


class StageReplicas:
    """One stage's replicas, by all ways.

    Args:
        here: its copy in this process, if there is one.
    """

    def __init__(
        self,
        handle: DeploymentHandle,
        reply_row_bytes: int,
        client: Client | None,
        here: Local | None = None,
    ):
        self.handle, self.reply_row_bytes, self.client = handle, reply_row_bytes, client
        self.here = here
        self._ways = ["lane", "handle"] if here is None else ["router", "lane", "handle"]
        self.by_handle = ByHandle(handle, reply_row_bytes)
        self._answered: Counter[str] = Counter()
        self._hops, self._hop_ms = 0, 0.0
        self._once_more = asyncio.Lock()

    @property
    def by_way(self) -> dict[str, float]:
        answered: dict[str, float] = {way: self._answered[way] for way in self._ways}
        return answered | {
            "connected": self.client.connected if self.client else 0,
            "waiting": self.client.waiting if self.client else 0,
            "hops": self._hops,
            "hop_ms": round(self._hop_ms, 3),
        }

    async def ask(self, message: Message, until: float | None) -> Reply:
        begin = time.perf_counter()
        reply = await self._ask(message, until)
        if not in_background(message) and reply.queued_ms is not None:
            assert reply.compute_ms is not None
            there_ms = float(reply.queued_ms[0] + reply.compute_ms[0])
            self._hops += 1
            self._hop_ms += (time.perf_counter() - begin) * 1e3 - there_ms
        return reply

    async def _ask(self, message: Message, until: float | None) -> Reply:
        if self.here is not None:
            try:
                timeout_s = None if until is None else max(0.0, until - time.monotonic())
                return self._count("router", await self.here.ask(message, timeout_s))
            except Refused:
                logger.debug("there is enough to do here, so the deployment is asked")
        if self.client is not None and self.client.connected:
            way, asked = "lane", self.client.ask(message, until)
        else:
            way, asked = "handle", self.by_handle.ask(message, until)
        try:
            return self._count(way, await asked)
        except Lost as error:
            if in_background(message):
                raise
            logger.debug("once more, by handle: %s", error)
        try:
            async with self._once_more:
                return self._count("handle", await self.by_handle.ask(message, until))
        except Lost as error:
            raise Lost("two replicas, one after the other, were lost with this request") from error

    def _count(self, way: str, reply: Reply) -> Reply:
        self._answered[way] += 1
        spans.went(way)
        return reply
