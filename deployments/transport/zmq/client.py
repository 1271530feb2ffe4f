"""A router's end of the lane: which replicas there are, and which of them to ask.

Addresses come from Serve: every replica that a handle knows is asked for its own, again and again,
and at once when a connection is lost. Of two replicas the one with less in flight is asked. What
cannot be answered here (no replica is known, all have enough to do, the connection breaks, no
answer comes) raises `LaneLost`, and the caller takes the handle.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import zmq
from zmq.utils.monitor import parse_monitor_message

from cache_models.network.stages import Reply
from deployments.transport.frames import FrameError, from_frames, to_frames
from deployments.transport.messages import REPLIES
from deployments.transport.zmq.key import LaneKey
from deployments.transport.zmq.server import MAX_MESSAGE_BYTES, configure
from deployments.transport.zmq.wire import Frames, Wire

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT = 64
"""Of one router at one replica."""
ANSWER_S = 10.0
REFRESH_S = 2.0


class LaneLost(Exception):
    """No answer by the lane; nothing is known of whether the request was computed."""


class LaneAddress(NamedTuple):
    """Where a replica listens; an address on loopback is of use on its own node alone."""

    address: str
    node_id: str

    @property
    def loopback(self) -> bool:
        return "//127." in self.address or "//[::1]" in self.address


class Lane:
    """The replicas of one deployment.

    Args:
        addresses: asks Serve's replicas for theirs.
        node_id: of this process.
    """

    def __init__(
        self, addresses: Callable[[], Awaitable[list[LaneAddress]]], key: LaneKey, node_id: str
    ):
        self._addresses, self._key, self._node_id = addresses, key, node_id
        self._lines: dict[str, _Line] = {}
        self._stale = asyncio.Event()
        self._context = zmq.Context.instance()
        self._task: asyncio.Task | None = None

    def start(self) -> None:
        """Begin to look for replicas, on the running event loop; at once if it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._refresh_for_ever())

    @property
    def connected(self) -> int:
        """Replicas that can be asked."""
        return sum(line.up for line in self._lines.values())

    async def call(self, method: str, *args) -> Reply:
        """
        Raises:
            LaneLost: ask by the handle.
        """
        free = [line for line in self._lines.values() if line.up and line.in_flight < MAX_IN_FLIGHT]
        if not free:
            raise LaneLost("no replica can be asked")
        two = free if len(free) <= 2 else random.sample(free, 2)
        return await min(two, key=lambda line: line.in_flight).call(method, args)

    async def _refresh_for_ever(self) -> None:
        while True:
            try:
                self._follow(await self._addresses())
            except Exception as error:  # a replica is on its way or going; the others still answer
                logger.debug("not all addresses are known: %r", error)
            self._stale.clear()
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            except TimeoutError:
                pass

    def _follow(self, found: list[LaneAddress]) -> None:
        usable = {f.address for f in found if not f.loopback or f.node_id == self._node_id}
        for address in usable - self._lines.keys():
            self._lines[address] = _Line(self._context, address, self._key, self._stale.set)
        for address in self._lines.keys() - usable:
            self._lines.pop(address).retire()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for line in self._lines.values():
            line.close()


class _Line:
    """A connection to one replica."""

    def __init__(self, context, address: str, key: LaneKey, lost: Callable[[], None]):
        self._lost = lost
        self._socket = socket = context.socket(zmq.DEALER)
        socket.curve_serverkey = key.public
        socket.curve_publickey, socket.curve_secretkey = key.public, key.secret
        socket.maxmsgsize = MAX_MESSAGE_BYTES
        socket.linger = 0
        configure(socket)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        socket.connect(address)
        self._numbers = itertools.count()
        self._waiting: dict[bytes, asyncio.Future] = {}
        self.up = False
        self._retired = False
        self._wire, self._events = Wire(socket, self._received), Wire(monitor, self._happened)

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    async def call(self, method: str, args: tuple) -> Reply:
        number = next(self._numbers).to_bytes(8, "big")
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        answered = False
        try:
            async with asyncio.timeout(ANSWER_S):
                self._wire.send([number, method.encode(), *to_frames(args)])
                kind, *rest = await reply
            answered = True
        except TimeoutError as error:
            raise LaneLost(f"no answer within {ANSWER_S} s") from error
        except zmq.ZMQError as error:
            raise LaneLost(repr(error)) from error
        finally:
            del self._waiting[number]
            if not answered and self.up:
                self._wire.send([number])  # not wanted any more
            if self._retired and not self._waiting:
                self.close()
        try:
            values = from_frames(rest)
            if not kind:
                raise LaneLost(f"{method} failed: {values[0]}")
            return REPLIES[bytes(kind).decode()](*values)
        except (FrameError, KeyError, TypeError) as error:
            raise LaneLost(f"{method}: an unreadable answer: {error!r}") from error

    def _received(self, frames: Frames) -> None:
        reply = self._waiting.get(bytes(frames[0]))
        if reply is not None and not reply.done():
            reply.set_result(frames[1:])

    def _happened(self, frames: Frames) -> None:
        """Whether the replica is there: until a connection is up nothing is sent, and when it
        breaks, nobody waits for what was."""
        event = parse_monitor_message([bytes(frame) for frame in frames])["event"]
        self.up = event == zmq.EVENT_HANDSHAKE_SUCCEEDED and not self._retired
        if event == zmq.EVENT_DISCONNECTED:
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(LaneLost("the connection broke"))
            self._lost()

    def retire(self) -> None:
        """Send nothing more; close once what is in flight has been answered."""
        self.up, self._retired = False, True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        self.up = False
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._events.close()
        self._wire.close()
