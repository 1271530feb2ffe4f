"""What partitions and lookups have in common: a thread that computes, batches, and a lane."""

from collections.abc import Awaitable, Callable, Hashable
from pathlib import Path

import numpy as np
import ray

from cache_models.network.stages import Reply
from deployments.config import Compute, LaneArgs
from deployments.graph.batching import Batching
from deployments.graph.compute import ComputeLoop, ComputeThread
from deployments.transport.zmq.client import LaneAddress
from deployments.transport.zmq.key import load_key
from deployments.transport.zmq.server import LaneServer

NODE = "node"


class Replica:
    """A replica that computes replies, asked by handle or by lane.

    Args:
        store: folder where the lane's key lies.
        quick: whether a batch takes so little time that it may be computed on the event loop.
    """

    def __init__(self, compute: Compute, lane: LaneArgs, store: str, quick: bool = False):
        self._thread = ComputeThread(compute.threads)
        self._place = ComputeLoop() if quick else self._thread
        self._batching = Batching(self._place, self._compute, compute.max_batch_rows)
        self._lane_args, self._store = lane, Path(store)
        self._lane = None

    async def ping(self) -> None:
        """Returns once a replica is there to answer."""

    async def lane_address(self) -> LaneAddress | None:
        """Where this replica listens beside its handle, from now on; None if it must not."""
        if not self._lane_args.enabled:
            return None
        if self._lane is None:
            host = self._lane_args.host
            if host == NODE:
                host = ray.util.get_node_ip_address()
            self._lane = LaneServer(self._methods(), load_key(self._store), host)
        return LaneAddress(self._lane.address, ray.get_runtime_context().get_node_id())

    def record_autoscaling_stats(self) -> dict[str, float]:
        """For `deployments.autoscaling`: Serve counts only what comes by handle."""
        return {"ongoing": float(self._batching.ongoing)}

    def _methods(self) -> dict[str, Callable[..., Awaitable[Reply]]]:
        """What may be called by lane."""
        raise NotImplementedError

    def _compute(self, batch: np.ndarray, *args: Hashable) -> Reply:
        """The reply to a batch, in the thread that computes."""
        raise NotImplementedError

    async def _reply(self, batch: np.ndarray, *args: Hashable) -> Reply:
        return await self._place.done(self._batching.submit(batch, *args))
