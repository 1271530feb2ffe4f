"""A router's connection to one replica.

ZeroMQ connects again by itself after some faults and not after others: one byte that was altered on
the way ends a connection for ever, and what waits to be sent when one breaks is sent by the next,
when it has long been asked elsewhere. So a socket here is good for one connection. When that
breaks, what was in flight is lost, and after a moment a new socket connects.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable

import zmq
from zmq.utils.monitor import parse_monitor_message

from cache_models.network.stages import Message, Reply
from deployments.tracing import spans
from deployments.transport.errors import KINDS, Failed, Lost, Unshared
from deployments.transport.frames import FrameError, from_frames, to_frames
from deployments.transport.messages import REPLIES
from deployments.transport.shared_memory import Loan, Ring, received
from deployments.transport.zmq.key import Key
from deployments.transport.zmq.server import MAX_MESSAGE_BYTES, TRACED, configure
from deployments.transport.zmq.wire import Frames, Wire

logger = logging.getLogger(__name__)

RECONNECT_MS, MAX_RECONNECT_MS = 100, 5_000
"""After which a replica is tried again that is not there, or with which the connection broke; each
time in a row after twice as long, until Serve says that it does not run."""
PAUSE_S, MAX_PAUSE_S = 0.01, 0.5
"""For which a replica that has refused is left alone, each time in a row twice as long."""


class Connection:
    """
    Args:
        changed: called when there may be room here, or nobody is there any more.
        ring: for large parts of messages; None where the replica does not see it, nor this process
            the replica's.

    Attributes:
        up: whether the replica is there, and may be asked.
        in_flight: places taken at it from here.
        limit: of those.
    """

    def __init__(
        self,
        context: zmq.Context,
        address: str,
        key: Key,
        changed: Callable[[], None],
        ring: Ring | None = None,
    ):
        self._context, self._address, self._key = context, address, key
        self._changed, self._ring = changed, ring
        self._numbers = itertools.count()
        self._waiting: dict[bytes, asyncio.Future[Frames]] = {}
        self.in_flight, self.limit = 0, 1
        self._established = self._retired = False
        self._pause_s, self._paused_until = PAUSE_S, 0.0
        self._reconnect_ms = RECONNECT_MS
        self._reconnecting: asyncio.TimerHandle | None = None
        self._connect()

    @property
    def up(self) -> bool:
        return self._established and not self._retired

    @property
    def free(self) -> bool:
        """Whether there is room for a question."""
        return self.up and self.in_flight < self.limit and time.monotonic() >= self._paused_until

    def reserve(self) -> "Connection":
        """Take a place, for one question."""
        self.in_flight += 1
        return self

    def release(self) -> None:
        self.in_flight -= 1
        if self._retired and not self.in_flight:
            self.close()

    def pause(self) -> None:
        """Have no room for a moment."""
        self._paused_until = time.monotonic() + self._pause_s
        # Later than that: the loop's clock may be a little ahead.
        asyncio.get_running_loop().call_later(self._pause_s + 1e-3, self._changed)
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)

    async def ask(self, message: Message, until: float | None) -> Reply:
        """The replica's reply.

        Args:
            until: of `time.monotonic`; nobody wants it after that.

        Raises:
            PlaceError: there is none.
        """
        timeout_s = None if until is None else max(0.0, until - time.monotonic())
        loan = Loan(self._ring)
        values = to_frames([timeout_s, loan.possible, *message], loan)
        traceparent = spans.traceparent()
        traced = [TRACED, traceparent.encode()] if traceparent else []
        number = next(self._numbers).to_bytes(8, "big")
        loop = asyncio.get_running_loop()
        reply = self._waiting[number] = loop.create_future()
        answered = False
        try:
            if not self._established:
                raise Lost("the connection broke")
            self._wire.send([number, *traced, type(message).__name__.encode(), *values])
            kind, *frames = await reply
            answered = True
            loan.end()
        except zmq.ZMQError as error:
            raise Lost(repr(error)) from error
        finally:
            del self._waiting[number]
            if not answered and self._established:
                with contextlib.suppress(zmq.ZMQError):  # who would have to know is gone
                    self._wire.send([number])  # not wanted any more
        try:
            name, values = bytes(kind).decode(), from_frames(frames)
            if name in KINDS:
                raise KINDS[name](values[0])
            self._pause_s = PAUSE_S
            return received(REPLIES[name](*values))
        except Unshared:
            self._ring = None  # from now on all goes by the socket
            raise
        except (FrameError, KeyError, TypeError, ValueError) as error:
            raise Failed(f"an unreadable reply: {error!r}") from error

    def _received(self, frames: Frames) -> None:
        reply = self._waiting.get(bytes(frames[0]))
        if reply is not None and not reply.done():
            reply.set_result(frames[1:])

    def _connect(self) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.curve_serverkey = self._key.public
        socket.curve_publickey, socket.curve_secretkey = self._key.public, self._key.secret
        socket.maxmsgsize = MAX_MESSAGE_BYTES
        socket.linger = 0
        socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS, MAX_RECONNECT_MS
        configure(socket)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        socket.connect(self._address)
        self._socket = socket
        self._wire, self._events = Wire(socket, self._received), Wire(monitor, self._happened)

    def _happened(self, frames: Frames) -> None:
        """Whether the replica is there: until a connection is up nothing is sent, and when it
        breaks, or is not admitted, nobody waits for what was."""
        event = parse_monitor_message([bytes(frame) for frame in frames])["event"]
        self._established = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        if self._established:
            self._reconnect_ms = RECONNECT_MS
        else:
            self._disconnect("the connection broke")
            if not self._retired:
                self._reconnect_later()
        self._changed()

    def _reconnect_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._reconnecting = loop.call_later(self._reconnect_ms / 1e3, self._reconnect)
        self._reconnect_ms = min(2 * self._reconnect_ms, MAX_RECONNECT_MS)

    def _reconnect(self) -> None:
        try:
            self._connect()
        except zmq.ZMQError as error:
            logger.warning("no socket to connect to %s: %s", self._address, error)
            self._reconnect_later()

    def _disconnect(self, why: str) -> None:
        self._established = False
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(Lost(why))
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._events.close()
        self._wire.close()

    def retire(self) -> None:
        """Ask nothing more; close once requests in flight have been answered."""
        self._retired = True
        if not self.in_flight:
            self.close()

    def close(self) -> None:
        self._retired = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._disconnect("the connection is closed")
