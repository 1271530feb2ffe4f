"""What partitions and lookups have in common: a thread that computes, batches, and an end of the
transport."""

from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any

import numpy as np
from ray import serve

from cache_models.network.stages import Message, Reply
from deployments.config import Compute, LaneArgs
from deployments.graph.batching import Batching
from deployments.graph.compute import ComputeLoop, ComputeThread
from deployments.graph.metrics import record
from deployments.metrics.recorder import Recorder, record_for_ever
from deployments.tracing import spans
from deployments.transport.endpoint import Endpoint


class Replica:
    """A replica that computes replies.

    Args:
        store: where the key of the transport lies.
        place: where it computes; by default in a thread.
        limit: as of `Endpoint`.
    """

    _compute: Callable[..., Reply]
    """`(batch, *arguments)` → the reply to it, where this replica computes."""

    def __init__(
        self,
        compute: Compute,
        lane: LaneArgs,
        store: str,
        place: ComputeThread | ComputeLoop | None = None,
        limit: Callable[[], int] | None = None,
    ):
        self._place = place or ComputeThread()
        self._batching = Batching(self._place, self._compute, compute.max_batch_rows)
        self._endpoint = Endpoint(self._served, limit)
        self._name = ""
        self._lane, self._store = lane, store

    async def ask(self, message: Message, timeout_s: float | None = None) -> Reply:
        """The reply to a message.

        Args:
            timeout_s: after which nobody wants it any more.

        Raises:
            PlaceError: there is none.
        """
        return await self._endpoint.ask(message, timeout_s)

    async def check_health(self) -> None:
        """Called by Serve, which replaces a replica that raises three times.

        Raises:
            RuntimeError: what should run for as long as the replica does has ended.
        """
        self._place.check_health()
        await self._endpoint.check_health()

    async def ping(self) -> None:
        """Returns once a replica is there to answer."""

    async def record_replica_metadata(self) -> dict[str, Any]:
        """Serve asks for it once, when the replica has started, and tells it to the routers."""
        self.begin(serve.get_replica_context().deployment)
        return await self._endpoint.listen(self._lane, self._store)

    def begin(self, name: str) -> None:
        """Record metrics and traces by this name from now on, on the running event loop."""
        self._name = name
        self._recording = record_for_ever(self.state, partial(record, Recorder(), name))

    async def state(self) -> dict[str, float]:
        """For `/stats`: what is here now, and what has been computed since the start, but for what
        nobody waited for."""
        batching = self._batching
        return {
            "ongoing": self._endpoint.ongoing,
            "queued": self._endpoint.waiting + batching.queued,
            "batches": batching.batches,
            "rows": batching.rows,
            "compute_ms": round(batching.compute_s * 1e3, 3),
        }

    def record_autoscaling_stats(self) -> dict[str, float]:
        """For `deployments.autoscaling`: Serve counts only what comes by handle."""
        return {"ongoing": float(self._endpoint.ongoing)}

    def __del__(self) -> Coroutine[Any, Any, None] | None:
        """Serve calls it, and awaits what it returns, when the replica is to stop: after calls by
        handle have ended, and before the process is killed."""
        endpoint = self.__dict__.get("_endpoint")  # none, if the constructor has failed
        return endpoint.drain() if endpoint is not None and endpoint.listening else None

    async def _served(self, message: Message, until: float | None) -> Reply:
        with spans.served(self._name, message):
            return await self._reply(message, until)

    async def _reply(self, message: Message, until: float | None) -> Reply:
        """
        Args:
            until: of `time.monotonic`; what has not begun by then is not computed.
        """
        raise NotImplementedError

    async def _computed(self, until: float | None, batch: np.ndarray, *args: Hashable) -> Reply:
        return await self._place.done(self._batching.submit(batch, *args, until=until))
