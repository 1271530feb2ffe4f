"""A deployment that runs one slice of the base DNN."""

import numpy as np
from ray import serve

from cache_models.network.activation import Precision
from cache_models.network.device import resolve
from cache_models.network.slice import Slice
from cache_models.network.stages import Activation, Answer, Message, Reply, Run, Stage
from cache_models.store.graphs import partition_slice
from cache_models.store.plan import Plan
from deployments.config import Compute, LaneArgs
from deployments.graph.background import Background
from deployments.graph.compute import ComputeThread
from deployments.graph.replica import Replica


@serve.deployment(
    max_ongoing_requests=64, health_check_period_s=1, ray_actor_options={"num_cpus": 0.1}
)
class Partition(Replica):
    """A slice between two neighbouring cut points of `plan`; the last one gives the answer."""

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        compute: Compute,
        activation_dtype: Precision,
        lane: LaneArgs,
        store: str,
    ):
        """
        Raises:
            ArtifactError: the store's graphs for `plan` are missing or damaged.
            EngineError: the engine cannot be had here.
        """
        thread = ComputeThread()
        super().__init__(compute, lane, store, thread)
        # There, since PyTorch keeps a team of threads for every thread that has computed.
        self._slice = thread.run_now(_warm_slice, stage, plan, compute, activation_dtype, store)
        self._background = Background(self._slice.in_background)

    async def check_health(self) -> None:
        await super().check_health()
        self._background.check_health()

    async def _reply(self, message: Message, until: float | None) -> Reply:
        assert isinstance(message, Run)
        reply = self._background.reply if message.background else self._computed
        return await reply(until, message.batch, message.resized)

    def _compute(self, batch: np.ndarray, resized: bool) -> Activation | Answer:
        return self._slice(batch, resized)


def _warm_slice(
    stage: Stage, plan: Plan, compute: Compute, precision: Precision, store: str
) -> Slice:
    """Every size of batch has been computed once, and that of most requests often."""
    warm = partition_slice(
        store, plan, stage, compute.engine, compute.threads, resolve(compute.device), precision
    )
    for rows in [*range(compute.max_batch_rows, 1, -1), *[1] * 5]:
        warm(warm.zeros(rows))
    return warm
