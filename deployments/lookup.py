"""A deployment that asks the learned cache at one cut point."""

import numpy as np
import torch
from ray import serve

from cache_models.device import resolve
from cache_models.learned_cache import LearnedCache
from cache_models.store import Store
from deployments.compute_thread import ComputeThread
from deployments.config import Compute
from deployments.transport import Verdict

KEPT_VERSIONS = 2


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Lookup:
    """The learned cache at the plan's cut point `index`, in the version that a request names."""

    def __init__(self, index: int, store: str, version: int, compute: Compute):
        self._thread = ComputeThread(compute.threads)
        self._device = resolve(compute.device)
        self._index = index
        self._store = Store(store)
        self._caches: dict[int, tuple[LearnedCache, float]] = {}
        self._thread.run_now(self._load, version)

    async def look_up(self, features: np.ndarray, version: int) -> Verdict:
        """Ask the cache of `version` about features `(B, *feature_shape)` float16.

        Raises:
            ArtifactError: that version cannot be loaded; to the router, a miss.
        """
        return await self._thread.run(self._look_up, features, version)

    async def ping(self) -> None:
        """Returns once a replica is there to answer."""

    def _look_up(self, features: np.ndarray, version: int) -> Verdict:
        if version not in self._caches:
            self._load(version)
        cache, threshold = self._caches[version]
        probabilities, confidence = cache(torch.tensor(features, device=self._device))
        return Verdict(
            (confidence >= threshold).cpu().numpy(),
            probabilities.argmax(1).cpu().numpy(),
            probabilities.cpu().numpy(),
        )

    def _load(self, number: int) -> None:
        version = self._store.open(number)
        cache = version.load(self._index).to(self._device)
        self._caches[number] = (cache, version.plan.promise.threshold)
        for rows in (1, 2, 8):
            for _ in range(5):
                shape = version.plan.caches[self._index].feature_shape
                cache(torch.zeros(rows, *shape, dtype=torch.float16, device=self._device))
        while len(self._caches) > KEPT_VERSIONS:
            self._caches.pop(min(self._caches))
