"""A replica's end of the way beside Serve's handles, over ZeroMQ.

A call by a handle costs as much as several layers of a base DNN. So a replica also listens on a
socket of its own, and a router that knows its address asks it there:

1. router → replica: request number, the kind of message, and as `frames` the seconds that are left
   for it, whether both see each other's memory, and its fields; where the request is traced,
   `TRACED` and its `traceparent` come between;
2. replica → router: the number, the kind of reply and its fields, or the kind of error and why;
3. router → replica: the number alone, if the reply is not wanted any more.

To know that it still does all this, a replica at times asks itself: `PING`, of which it says the
same.

Serve still places, watches, replaces and scales the replicas. Both ends prove that they hold the
application's key, and all is encrypted (CurveZMQ).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

from cache_models.network.stages import Message, Reply
from deployments.tracing import spans
from deployments.transport.errors import Failed, PlaceError
from deployments.transport.frames import from_frames, to_frames
from deployments.transport.messages import MESSAGES
from deployments.transport.shared_memory import Loan, Ring, owned
from deployments.transport.zmq.key import Key
from deployments.transport.zmq.wire import Frames, Wire

logger = logging.getLogger(__name__)

LINGER_MS = 1_000
"""For which a closed end still sends what it has said."""
MAX_MESSAGE_BYTES = 256 * 1024 * 1024
PING = b"Ping"
TRACED = b"Traced"
PING_S = 10.0
"""An answer that takes longer does not come."""
HEARTBEAT_MS = 1_000
HEARTBEAT_TIMEOUT_MS = 5_000
"""A node that is gone without a word, or says nothing from the beginning, is known to be after
this."""


class Server:
    """
    Args:
        ask: the reply to a message, within the seconds given; raises a `PlaceError`.
        host: address to listen on; the port is any free one.
        ring: for large parts of replies to routers that see it.
    """

    def __init__(
        self,
        ask: Callable[[Message, float | None], Awaitable[Reply]],
        key: Key,
        host: str,
        ring: Ring | None = None,
    ):
        self._ask, self._key, self._ring = ask, key, ring
        self._running: dict[tuple[bytes, bytes], asyncio.Task[None]] = {}
        # Of its own: an authenticator answers for all servers of a context.
        self._context = context = zmq.asyncio.Context()
        self._authenticator = AsyncioAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(credentials_provider=_Only(key))
        socket = context.socket(zmq.ROUTER, socket_class=zmq.Socket)
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = key.public, key.secret
        socket.maxmsgsize = MAX_MESSAGE_BYTES
        socket.linger = LINGER_MS
        configure(socket)
        port = socket.bind_to_random_port(f"tcp://{host}")
        self.address = f"tcp://{host}:{port}"
        self._wire = Wire(socket, self._received)

    def _received(self, frames: Frames) -> None:
        try:
            sender, number, *rest = frames
            call = (bytes(sender), bytes(number))
            if rest and bytes(rest[0]) == PING:
                self._wire.send([*call, PING])
            elif rest:
                traceparent = ""
                if bytes(rest[0]) == TRACED:
                    _, parent, *rest = rest
                    traceparent = bytes(parent).decode()
                kind, *fields = rest
                answer = self._answer(call, bytes(kind).decode(), fields, traceparent)
                task = asyncio.create_task(answer)
                self._running[call] = task
                task.add_done_callback(lambda _: self._running.pop(call, None))
            elif running := self._running.get(call):
                running.cancel()
        except Exception as error:  # from a peer that holds the key; the next one may be well
            logger.error("a message by ZeroMQ cannot be read: %r", error)

    async def _answer(
        self, call: tuple[bytes, bytes], kind: str, frames: Frames, traceparent: str
    ) -> None:
        try:
            timeout_s, shares, *fields = from_frames(frames)
            message = owned(MESSAGES[kind](*fields))
            with spans.taken_up(traceparent):
                reply = await self._ask(message, timeout_s)
            loan = Loan(self._ring if shares else None)
            said = [type(reply).__name__.encode(), *to_frames(reply, loan)]
        except PlaceError as error:
            said = [type(error).__name__.encode(), *to_frames([str(error)])]
        except Exception as error:  # an unreadable message, or a reply that cannot travel
            said = [Failed.__name__.encode(), *to_frames([f"{kind}: {error!r}"])]
        self._wire.send([*call, *said])

    async def check_health(self) -> None:
        """Come as a router does, and be answered.

        Raises:
            RuntimeError: nobody is admitted any more, or what arrives is not read.
        """
        with self._context.socket(zmq.DEALER) as socket:
            socket.curve_serverkey = self._key.public
            socket.curve_publickey, socket.curve_secretkey = self._key.public, self._key.secret
            socket.linger = 0
            socket.connect(self.address)
            await socket.send_multipart([b"", PING])
            try:
                async with asyncio.timeout(PING_S):
                    await socket.recv_multipart()
            except TimeoutError:
                raise RuntimeError(f"{self.address} does not answer by ZeroMQ any more") from None

    async def drain(self) -> None:
        """Close once what has been said has left, and what was lent has been read."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        if self._ring is not None:
            await asyncio.sleep(self._ring.held_s)
        self._close_sockets()
        await asyncio.to_thread(self._context.term)

    def close(self) -> None:
        """Close now, and answer nothing more."""
        for task in list(self._running.values()):
            task.cancel()
        self._close_sockets()
        self._context.destroy(linger=0)

    def _close_sockets(self) -> None:
        self._wire.close()
        self._authenticator.stop()
        if self._ring is not None:
            self._ring.close()


class _Only:
    """Admits clients that hold the key."""

    def __init__(self, key: Key):
        self._key = key

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self._key.public


def configure(socket: zmq.Socket) -> None:
    """What both ends have in common."""
    socket.heartbeat_ivl, socket.heartbeat_timeout = HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS
    socket.handshake_ivl = HEARTBEAT_TIMEOUT_MS
    socket.sndhwm = socket.rcvhwm = 0  # what is in flight is bounded by the router
