"""Which replicas run: as Serve tells its own handles, the moment it changes.

The controller keeps the running replicas of every deployment, and each one's metadata, behind a
long poll that every handle's router follows; this follows it, too. So nobody asks a replica where
it listens, none that is slow to answer hides another, and while nothing changes nothing is sent.

`record_replica_metadata` and what it makes of a replica are public; the poll itself is private to
Ray 2.60: the actor `SERVE_CONTROLLER_NAME`, its `listen_for_change`, and its keys. If a later
version has it otherwise, no replica is ever found here, and every question goes by handle.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import ray
from ray.serve.handle import DeploymentHandle

logger = logging.getLogger(__name__)

ADDRESS = "zmq"
"""Of a replica's metadata: where it listens."""
RETRY_S, MAX_RETRY_S = 0.5, 30.0
"""After an error; each time twice as long."""


class Found(NamedTuple):
    """A running replica.

    Attributes:
        metadata: what its `record_replica_metadata` returned.
    """

    node_id: str
    metadata: Mapping[str, Any]
    max_ongoing_requests: int


class Follower(Protocol):
    """Is told of one deployment."""

    def follow(self, replicas: list[Found]) -> None:
        """These run now, and no others."""
        ...

    def limit_queue(self, max_queued_requests: int) -> None:
        """So many requests may wait at each caller; -1 is any number."""
        ...


def begin(followers: Sequence[tuple[DeploymentHandle, Follower]]) -> asyncio.Task[None]:
    """Tell followers for ever, on the running event loop."""
    # In a context of its own: in that of a request, it would be cancelled with the request.
    loop = asyncio.get_running_loop()
    return loop.create_task(_tell_for_ever(followers), context=contextvars.Context())


async def _tell_for_ever(followers: Sequence[tuple[DeploymentHandle, Follower]]) -> None:
    retry_s = RETRY_S
    while True:
        try:
            async for key, value in _changes([handle for handle, _ in followers]):
                retry_s = RETRY_S
                for handle, follower in followers:
                    if key[1] == handle.deployment_id:
                        _tell(follower, value)
        except Exception as error:
            logger.warning("running replicas are not known, so calls go by handle: %r", error)
        await asyncio.sleep(retry_s)
        retry_s = min(2 * retry_s, MAX_RETRY_S)


async def _changes(handles: list[DeploymentHandle]) -> AsyncIterator[tuple[Any, Any]]:
    """Keys of the long poll and their values: as they are first, then whenever one changes."""
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
    from ray.serve._private.long_poll import LongPollNamespace, LongPollState

    controller = await asyncio.to_thread(
        ray.get_actor, SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE
    )
    kinds = LongPollNamespace.DEPLOYMENT_TARGETS, LongPollNamespace.DEPLOYMENT_CONFIG
    seen = {(kind, handle.deployment_id): -1 for kind in kinds for handle in handles}
    while True:
        updates = await controller.listen_for_change.remote(seen)
        if updates == LongPollState.TIME_OUT:
            continue
        for key, update in updates.items():
            seen[key] = update.snapshot_id
            yield key, update.object_snapshot


def _tell(follower: Follower, value: Any) -> None:
    if hasattr(value, "running_replicas"):
        follower.follow(
            [
                Found(replica.node_id, replica.replica_metadata, replica.max_ongoing_requests)
                for replica in value.running_replicas
            ]
        )
    else:
        follower.limit_queue(value.max_queued_requests)
