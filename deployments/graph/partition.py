"""A deployment that runs one slice of the base DNN."""

import numpy as np
import torch
from ray import serve

from cache_models.data.recording import as_tensor
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.device import resolve
from cache_models.network.engine import fast
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.store.plan import Plan
from deployments.config import Compute, LaneArgs
from deployments.graph.replica import Replica
from deployments.transport.messages import Activation, Answer
from deployments.transport.remote import pack, unpack


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Partition(Replica):
    """A slice between two neighbouring cut points of `plan`; the last one gives the answer.

    Args:
        index: of the slice; where the plan has a cache at the input, slice 0 is nothing to run.
    """

    def __init__(
        self,
        index: int,
        plan: Plan,
        compute: Compute,
        activation_dtype: str,
        lane: LaneArgs,
        store: str,
    ):
        super().__init__(compute, lane, store)
        self._thread.run_now(self._prepare, index, plan, compute, activation_dtype)

    def _prepare(self, index: int, plan: Plan, compute: Compute, activation_dtype: str) -> None:
        self._device = resolve(compute.device)
        self._dtype = getattr(torch, activation_dtype)
        base = load(plan.model)
        plan.check_base(base)
        self._description, model = base.description, cut(base)
        self._first = index == int(plan.asks_first)
        self._last = index == len(plan.cut_points)
        shape = model.input_shape_of(None if self._first else plan.cut_points[index - 1])
        part = model.slices(plan.cut_points)[index]
        self._slice = fast(part, shape, self._device, compute.compile)
        self._warm_up(shape, compute.max_batch_rows)

    async def run(self, batch: np.ndarray, resized: bool = False) -> Activation | Answer:
        """Run the slice.

        Args:
            batch: for the first partition decoded images `(B, h, w, C)` uint8 or inputs
                `(B, *input_shape)` float32, for the others a packed activation.
            resized: whether images already have the base DNN's size.
        """
        return await self._reply(batch, resized)

    def _methods(self):
        return {"run": self.run}

    def _compute(self, batch: np.ndarray, resized: bool = False) -> Activation | Answer:
        out = self._slice(channels_last(self._inputs(batch, resized)))
        if self._last:
            probabilities = self._description.probabilities(out).float()
            return Answer(out.argmax(1).cpu().numpy(), probabilities.cpu().numpy())
        return Activation(extract(out).cpu().numpy(), pack(out, self._dtype))

    def _inputs(self, batch: np.ndarray, resized: bool) -> torch.Tensor:
        if not self._first:
            return unpack(batch, self._device)
        images = as_tensor(batch).to(self._device)
        return self._description.inputs(images, resized)

    def _warm_up(self, shape: tuple[int, ...], max_rows: int) -> None:
        """Every size of batch once, and that of most requests often."""
        for rows in [*range(max_rows, 1, -1), *[1] * 5]:
            zeros = torch.zeros(rows, *shape)
            self._compute(zeros.numpy() if self._first else pack(zeros, self._dtype))
