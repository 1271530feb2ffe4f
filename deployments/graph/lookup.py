"""A deployment that asks the learned cache at one cut point."""

import numpy as np
import torch
from ray import serve

from cache_models.cache.lookup import CacheLookup
from cache_models.network.device import resolve
from cache_models.network.stages import Stage, Verdict
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import Compute, LaneArgs
from deployments.graph.replica import Replica

KEPT_VERSIONS = 2


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Lookup(Replica):
    """The learned cache of one stage, in the version that a request names."""

    def __init__(self, stage: Stage, plan: Plan, store: str, compute: Compute, lane: LaneArgs):
        self._device = resolve(compute.device)
        quick = self._device.type == "cpu" and compute.threads == 1
        super().__init__(compute, lane, store, quick)
        if quick:
            torch.set_num_threads(1)
        self._stage, self._max_rows = stage, compute.max_batch_rows
        self._versions = Store(store)
        self._caches: dict[int, CacheLookup] = {}
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
        log_ratio = None if mix is None else np.frombuffer(mix, np.float32)
        return self._caches[version](batch, log_ratio, threshold, resized)

    def _load(self, number: int) -> None:
        if number in self._caches:
            return
        version = self._versions.open(number)
        plan, cache = version.plan, version.load(self._stage.index)
        lookup = CacheLookup(
            self._stage, plan.description, cache, plan.promise.threshold, self._device
        )
        for rows in [*range(self._max_rows, 1, -1), *[1] * 5]:
            lookup(lookup.zeros(rows))
        self._caches[number] = lookup
        while len(self._caches) > KEPT_VERSIONS:
            self._caches.pop(next(iter(self._caches)))  # the one loaded first
