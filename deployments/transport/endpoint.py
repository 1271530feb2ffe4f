"""A replica's end of the transport: whatever way a question comes, it is one of as many as Serve
allows, it is computed once, and what goes wrong gets its kind.

By Serve's handle a question that comes too many waits here: Serve has admitted it already, and does
not know of those that came by ZeroMQ. By ZeroMQ it is refused, and waits at the router.

Questions that nobody waits for take no request's place. They are few, one too many is refused on
both ways, and a replica that is to stop drops them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray import serve

from cache_models.network.stages import Message, Reply, in_background
from deployments.config import LaneArgs
from deployments.transport.admission import Admission
from deployments.transport.errors import Failed, Lost, PlaceError, Refused
from deployments.transport.replicas import ADDRESS
from deployments.transport.shared_memory import Ring
from deployments.transport.zmq.key import load_key
from deployments.transport.zmq.server import Server

NODE = "node"
MAX_IN_BACKGROUND = 8
"""Questions that nobody waits for, at once; every router asks one after the other."""


def max_ongoing_requests() -> int:
    """Of this replica's deployment, as Serve has it now; the only way to read it is private."""
    return serve.get_replica_context()._deployment_config.max_ongoing_requests


class Endpoint:
    """
    Args:
        answer: computes a reply, unless the time given (of `time.monotonic`) has passed before it
            begins.
        limit: how many questions may be here at once; None leaves it to Serve's configuration.

    Attributes:
        ongoing: questions that are being answered, but for those that nobody waits for.
    """

    def __init__(
        self,
        answer: Callable[[Message, float | None], Awaitable[Reply]],
        limit: Callable[[], int] | None = None,
    ):
        self._answer, self._limit = answer, limit or max_ongoing_requests
        self.ongoing = 0
        self._admission = Admission(self._enter, self._leave)
        self._in_background: set[asyncio.Task[Reply]] = set()
        self._stopping, self._idle = False, asyncio.Event()
        self._server: Server | None = None

    @property
    def waiting(self) -> int:
        """Questions by handle that wait for a place."""
        return self._admission.waiting

    async def ask(self, message: Message, timeout_s: float | None = None) -> Reply:
        """The reply to a question by handle.

        Args:
            timeout_s: after which nobody wants it any more.

        Raises:
            PlaceError: there is none, and why.
        """
        until = _moment(timeout_s)
        if in_background(message):
            return await self._answered_in_background(message, until)
        await self._admission.turn()
        return await self._answered_in_its_place(message, until)

    async def ask_now(self, message: Message, timeout_s: float | None = None) -> Reply:
        """The reply to a question by ZeroMQ; arguments and errors as of `ask`."""
        if self._stopping:
            raise Lost("the replica is to stop")
        if in_background(message):
            return await self._answered_in_background(message, _moment(timeout_s))
        if self._admission.now() is None:
            raise Refused(f"the replica has {self.ongoing} requests, as many as it may")
        return await self._answered_in_its_place(message, _moment(timeout_s))

    async def listen(self, args: LaneArgs, store: str) -> dict[str, Any]:
        """Listen by ZeroMQ from now on, if that is configured; the replica's metadata, by which
        routers find it."""
        if not args.enabled:
            return {}
        if self._server is None:
            host = ray.util.get_node_ip_address() if args.host == NODE else args.host
            ring = Ring.of(args.shared_bytes, args.hold_s)
            self._server = Server(self.ask_now, load_key(store), host, ring)
        return {ADDRESS: self._server.address}

    async def check_health(self) -> None:
        """
        Raises:
            RuntimeError: it should listen, and does not answer.
        """
        if self._server is not None and not self._stopping:
            await self._server.check_health()

    @property
    def listening(self) -> bool:
        """By ZeroMQ, and not about to stop."""
        return self._server is not None and not self._stopping

    async def drain(self) -> None:
        """Refuse what comes by ZeroMQ, drop what nobody waits for, and return once all else has
        been answered. What comes by handle Serve turns away itself."""
        self._stopping = True
        for answering in self._in_background:
            answering.cancel()
        while self.ongoing:
            self._idle.clear()
            await self._idle.wait()
        if self._server is not None:
            await self._server.drain()

    async def _answered_in_its_place(self, message: Message, until: float | None) -> Reply:
        try:
            return await self._answered(message, until)
        finally:
            self._leave(True)
            self._admission.serve()

    async def _answered_in_background(self, message: Message, until: float | None) -> Reply:
        if self._stopping:
            raise Lost("the replica is to stop")
        if len(self._in_background) >= MAX_IN_BACKGROUND:
            raise Refused(f"the replica has {MAX_IN_BACKGROUND} requests to run on already")
        answering = asyncio.create_task(self._answered(message, until))
        self._in_background.add(answering)
        try:
            await asyncio.wait([answering])
            if answering.cancelled():
                raise Lost("the replica is to stop")
            return answering.result()
        finally:
            answering.cancel()
            self._in_background.discard(answering)

    async def _answered(self, message: Message, until: float | None) -> Reply:
        try:
            return await self._answer(message, until)
        except PlaceError:
            raise
        except Exception as error:
            raise Failed(f"{type(message).__name__} failed: {error!r}") from error

    def _enter(self) -> bool | None:
        if self.ongoing >= self._limit():
            return None
        self.ongoing += 1
        return True

    def _leave(self, _: bool) -> None:
        self.ongoing -= 1
        if not self.ongoing:
            self._idle.set()


def _moment(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s
