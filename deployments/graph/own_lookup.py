"""A router's own copy of a lookup, which it asks without a way in between."""

from cache_models.cache.stream_memory import StreamLimits
from cache_models.network.stages import Message, Reply, Stage
from cache_models.store.plan import Plan
from deployments.config import Compute, LaneArgs
from deployments.graph.lookup import LookupReplica


class OwnLookup(LookupReplica):
    """As `transport.local.Local`: questions beyond those of one batch are refused, so that they go
    to the deployment."""

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        store: str,
        compute: Compute,
        streams: StreamLimits | None = None,
    ):
        nobody, most = LaneArgs(enabled=False), compute.max_batch_rows
        super().__init__(stage, plan, store, compute, nobody, streams, limit=lambda: most)

    async def ask(self, message: Message, timeout_s: float | None = None) -> Reply:
        return await self._endpoint.ask_now(message, timeout_s)
