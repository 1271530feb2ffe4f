"""Everything that crosses from one deployment to another.

Router, partitions and lookups know the messages and `Remote.call`; how they travel is decided here
alone.
"""

import logging

import ray
from ray.exceptions import RayActorError
from ray.serve.exceptions import ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.transport.zmq.client import Lane, LaneAddress, LaneLost
from deployments.transport.zmq.key import LaneKey

logger = logging.getLogger(__name__)

INLINE_BYTES = 2_000_000
"""Larger messages go by reference through the object store; inline is 4 MiB at most."""


class Remote:
    """One deployment, as the router sees it.

    Args:
        lane_key: to reach its replicas by lane, too; None leaves the handle.

    Attributes:
        by_lane, by_handle: calls answered so far.
    """

    def __init__(self, handle: DeploymentHandle, lane_key: LaneKey | None = None):
        self.name = handle.deployment_name
        self._handle = handle
        self._inline = handle.options(
            _by_reference=False, request_serialization="pickle", response_serialization="pickle"
        )
        self._by_reference = handle.options(_by_reference=True)
        self._lane: Lane | None = None
        if lane_key is not None:
            node_id = ray.get_runtime_context().get_node_id()
            self._lane = Lane(self._lane_addresses, lane_key, node_id)
        self.by_lane = self.by_handle = 0

    @property
    def by_way(self) -> dict[str, int]:
        """For `/stats`."""
        connected = self._lane.connected if self._lane is not None else 0
        return {"lane": self.by_lane, "handle": self.by_handle, "connected": connected}

    async def broadcast(self, method: str, *args) -> list:
        """Call `method` on every replica that is known now; all results, or the first error."""
        return await self._handle.broadcast(method, *args).results_async(timeout_s=10)

    async def call(self, method: str, *args, expected_bytes: int = 0):
        """Call `method` on one replica; again on another if that one dies, since no method here
        changes anything.

        Args:
            expected_bytes: of the larger of request and response.
        """
        if self._lane is not None:
            self._lane.start()
            try:
                reply = await self._lane.call(method, *args)
            except LaneLost as error:
                logger.debug("%s by handle: %s", method, error)
            else:
                self.by_lane += 1
                return reply
        return await self.call_by_handle(method, *args, expected_bytes=expected_bytes)

    async def call_by_handle(self, method: str, *args, expected_bytes: int = 0):
        """The same, whatever way else there is: for what replicas do not answer by lane."""
        handle = self._inline if expected_bytes <= INLINE_BYTES else self._by_reference
        try:
            reply = await getattr(handle, method).remote(*args)
        except (RayActorError, ReplicaUnavailableError):
            reply = await getattr(handle, method).remote(*args)
        self.by_handle += 1
        return reply

    async def _lane_addresses(self) -> list[LaneAddress]:
        return [LaneAddress(*found) for found in await self.broadcast("lane_address") if found]
