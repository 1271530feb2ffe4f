"""The replicas of one deployment that listen by ZeroMQ, and which of them to ask.

Of two replicas the one with less in flight is asked; what belongs to a stream is asked of the one
that remembers it, by rendezvous hashing (Thaler and Ravishankar 1998), while that has room. None is
given more than Serve's `max_ongoing_requests`, and what all of them have no room for waits here in
turn, at most `max_queued_requests`, as it would at a handle. A replica that others have filled
refuses: it is left alone for a moment, and the request keeps its turn. Questions that nobody waits
for take no places.
"""

import hashlib
import random

import zmq

from cache_models.network.stages import Message, Reply, in_background, stream_of
from deployments.transport.admission import Admission
from deployments.transport.errors import Lost, Refused
from deployments.transport.replicas import ADDRESS, Found
from deployments.transport.shared_memory import Ring, owned
from deployments.transport.zmq.connection import Connection
from deployments.transport.zmq.key import Key


class Client:
    """
    Args:
        node_id: of this process; an address on loopback is of use on its own node alone.
        ring: for large parts of messages to replicas on it.
    """

    def __init__(self, key: Key, node_id: str, ring: Ring | None = None):
        self._key, self._node_id, self._ring = key, node_id, ring
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._connections: dict[str, Connection] = {}
        self._admission = Admission(self._reserve, Connection.release)
        self._max_queued = -1

    @property
    def connected(self) -> int:
        """Replicas that can be asked."""
        return sum(connection.up for connection in self._connections.values())

    @property
    def waiting(self) -> int:
        """Questions that wait for a place at one."""
        return self._admission.waiting

    async def ask(self, message: Message, until: float | None = None) -> Reply:
        """One replica's reply.

        Args:
            until: of `time.monotonic`; nobody wants it after that.

        Raises:
            PlaceError: there is none.
        """
        stream = stream_of(message)
        if in_background(message):
            return await self._one(stream).ask(message, until)
        connection = self._remembering(stream) or self._admission.now()
        if connection is None:
            if not self.connected:
                raise Lost("no replica is connected")
            if 0 <= self._max_queued <= self._admission.waiting:
                raise Refused(f"{self._admission.waiting} requests wait already, as many as may")
            message = owned(message)  # what is lent does not wait
            connection = await self._admission.turn()
        while True:
            try:
                return await connection.ask(message, until)
            except Refused:
                message = owned(message)
                connection.pause()
            finally:
                connection.release()
                self._admission.serve()
            connection = await self._admission.turn(first=True)

    def follow(self, replicas: list[Found]) -> None:
        """These replicas run, and no others."""
        usable = {
            address: replica
            for replica in replicas
            if (address := replica.metadata.get(ADDRESS))
            and (replica.node_id == self._node_id or not _loopback(address))
        }
        for address in self._connections.keys() - usable.keys():
            self._connections.pop(address).retire()
        for address, replica in usable.items():
            if address not in self._connections:
                ring = self._ring if replica.node_id == self._node_id else None
                self._connections[address] = Connection(
                    self._context, address, self._key, self._changed, ring
                )
            self._connections[address].limit = replica.max_ongoing_requests
        self._changed()

    def limit_queue(self, max_queued_requests: int) -> None:
        """So many requests may wait here for room; -1 is any number."""
        self._max_queued = max_queued_requests

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections = {}
        self._changed()

    def _one(self, stream: str) -> Connection:
        """Any, or the one that remembers a stream.

        Raises:
            Lost: there is none.
        """
        up = {address: found for address, found in self._connections.items() if found.up}
        if not up:
            raise Lost("no replica is connected")
        if not stream:
            return random.choice(list(up.values()))
        return up[max(up, key=lambda address: _weight(address, stream))]

    def _remembering(self, stream: str) -> Connection | None:
        """A place at the one that remembers a stream, if it has room and nobody waits."""
        if not stream or not self.connected or self._admission.waiting:
            return None
        found = self._one(stream)
        return found.reserve() if found.free else None

    def _reserve(self) -> Connection | None:
        free = [connection for connection in self._connections.values() if connection.free]
        if not free:
            return None
        two = free if len(free) <= 2 else random.sample(free, 2)
        return min(two, key=lambda connection: connection.in_flight).reserve()

    def _changed(self) -> None:
        """There may be room, or nobody left to have any."""
        self._admission.serve()
        if not self.connected:
            self._admission.dismiss(Lost("no replica is connected any more"))


def _weight(address: str, stream: str) -> bytes:
    """Of a replica for a stream; the same for every router."""
    return hashlib.blake2b(f"{address} {stream}".encode(), digest_size=8).digest()


def _loopback(address: str) -> bool:
    return "//127." in address or "//[::1]" in address
