"""A deployment that runs one slice of the base DNN."""

import numpy as np
from ray import serve

from cache_models.network.stages import Activation, Answer, Message, Reply, Run, Stage
from cache_models.store.plan import Plan
from deployments.config import Compute, LaneArgs
from deployments.graph.replica import Replica


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Partition(Replica):
    """A slice between two neighbouring cut points of `plan`; the last one gives the answer."""

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        compute: Compute,
        activation_dtype: str,
        lane: LaneArgs,
        store: str,
    ):
        super().__init__(compute, lane, store)
        self._thread.run_now(self._prepare, stage, plan, compute, activation_dtype)

    def _prepare(self, stage: Stage, plan: Plan, compute: Compute, activation_dtype: str) -> None:
        import torch  # and what needs it: not by whoever deploys it

        from cache_models.network.base_dnn import load
        from cache_models.network.cutting import cut
        from cache_models.network.device import resolve
        from cache_models.network.engine import fast
        from cache_models.network.slice import Slice

        assert stage.takes is not None, "partitions take something"
        device = resolve(compute.device)
        base = load(plan.model)
        plan.check_base(base)
        part = cut(base).slices(plan.cut_points)[stage.slice_index]
        module = fast(part, stage.takes, device, compute.compile)
        dtype = getattr(torch, activation_dtype)
        self._slice = Slice(stage, base.description, module, device, dtype)
        # Every size of batch once, and that of most requests often.
        for rows in [*range(compute.max_batch_rows, 1, -1), *[1] * 5]:
            self._slice(self._slice.zeros(rows))

    async def _reply(self, message: Message, until: float | None) -> Reply:
        assert isinstance(message, Run)
        return await self._computed(until, *message)

    def _compute(self, batch: np.ndarray, resized: bool) -> Activation | Answer:
        return self._slice(batch, resized)
