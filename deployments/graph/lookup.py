"""A deployment that asks the learned cache at one cut point."""

import numpy as np
import torch
from ray import serve

from cache_models.cache.fast_cache import FastCache, InputFeatures
from cache_models.data.recording import as_tensor
from cache_models.network.cutting import INPUT
from cache_models.network.device import resolve
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import Compute, LaneArgs
from deployments.graph.replica import Replica
from deployments.transport.messages import Verdict

KEPT_VERSIONS = 2


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Lookup(Replica):
    """The learned cache at the plan's cut point `index`, in the version that a request names."""

    def __init__(self, index: int, plan: Plan, store: str, compute: Compute, lane: LaneArgs):
        self._device = resolve(compute.device)
        quick = self._device.type == "cpu" and compute.threads == 1
        super().__init__(compute, lane, store, quick)
        if quick:
            torch.set_num_threads(1)
        self._max_rows = compute.max_batch_rows
        self._index = index
        self._at_input = plan.cut_points[index] == INPUT
        self._description = plan.description
        self._input_features = InputFeatures(plan.description, self._device)
        self._versions = Store(store)
        self._caches: dict[int, tuple[FastCache, float]] = {}
        self._thread.run_now(self._load, self._versions.serving(plan).number)

    async def look_up(
        self,
        batch: np.ndarray,
        version: int,
        log_ratio: np.ndarray | None = None,
        threshold: float | None = None,
        resized: bool = False,
    ) -> Verdict:
        """Ask the cache of `version`.

        Args:
            batch: features `(B, *feature_shape)` float16; for a cache at the input what
                `Partition.run` takes first, from which features are made here.
            log_ratio: `(K,)` of the class mix of the moment to the one that was trained on.
            threshold: of the probability of agreement; None is the version's own.
            resized: as for `Partition.run`.

        Raises:
            ArtifactError: that version cannot be loaded; to the router, a miss.
        """
        mix = None if log_ratio is None else np.asarray(log_ratio, np.float32).tobytes()
        return await self._reply(batch, version, mix, threshold, resized)

    async def prepare(self, version: int) -> None:
        """Load a version before requests name it.

        Raises:
            ArtifactError: it cannot be loaded.
        """
        await self._thread.run(self._load, version)

    def _methods(self):
        return {"look_up": self.look_up}

    def _compute(
        self,
        batch: np.ndarray,
        version: int,
        mix: bytes | None,
        threshold: float | None,
        resized: bool,
    ) -> Verdict:
        if version not in self._caches:
            self._load(version)
        cache, own = self._caches[version]
        log_ratio = None if mix is None else np.frombuffer(mix, np.float32)
        probabilities, confidence = cache(self._features(batch, resized), log_ratio)
        hits = confidence >= (own if threshold is None else threshold)
        return Verdict(hits, probabilities.argmax(1), probabilities)

    def _features(self, batch: np.ndarray, resized: bool) -> torch.Tensor:
        if not self._at_input:
            return torch.tensor(batch, device=self._device)
        return self._input_features(as_tensor(batch), resized)

    def _load(self, number: int) -> None:
        if number in self._caches:
            return
        version = self._versions.open(number)
        cache = FastCache(version.load(self._index), self._device)
        threshold = version.plan.promise.threshold
        self._caches[number] = (cache, np.inf if threshold is None else threshold)
        for rows in [*range(self._max_rows, 1, -1), *[1] * 5]:
            self._compute(self._zeros(version.plan, rows), number, None, None, resized=False)
        while len(self._caches) > KEPT_VERSIONS:
            self._caches.pop(next(iter(self._caches)))  # the one loaded first

    def _zeros(self, plan: Plan, rows: int) -> np.ndarray:
        """Something to look up, of the shape that requests have."""
        if not self._at_input:
            return np.zeros((rows, *plan.caches[self._index].feature_shape), np.float16)
        if self._description.preprocessing is None:
            return np.zeros((rows, *self._description.input_shape), np.float32)
        height, width = self._description.preprocessing.crop_size
        channels = len(self._description.preprocessing.mean)
        return np.zeros((rows, height // 2, width // 2, channels), np.uint8)
