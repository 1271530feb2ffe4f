"""A deployment that asks the learned cache at one cut point."""

import numpy as np
from ray import serve

from cache_models.cache.lookup import CacheLookup
from cache_models.errors import ArtifactError
from cache_models.network.device import resolve
from cache_models.network.stages import LookUp, Message, Reply, Stage, Verdict
from cache_models.store.graphs import lookup_engine
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import Compute, LaneArgs
from deployments.graph.compute import ComputeLoop, ComputeThread
from deployments.graph.loaded import LoadedVersions
from deployments.graph.replica import Replica


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Lookup(Replica):
    """The learned cache of one stage, in the version that a request names.

    A version that is not in memory is loaded meanwhile, and the request waits for it; its timeout
    may make it a miss.
    """

    def __init__(self, stage: Stage, plan: Plan, store: str, compute: Compute, lane: LaneArgs):
        self._device = resolve(compute.device)
        quick = self._device == "cpu" and compute.threads == 1
        super().__init__(compute, lane, store, ComputeLoop() if quick else ComputeThread())
        self._stage, self._plan, self._configured = stage, plan, compute
        self._versions = Store(store)
        first = self._versions.serving(plan).number
        loader = self._loader = ComputeThread()  # beside what answers
        self._loaded = LoadedVersions(
            first,
            loader.run_now(self._load, first),
            lambda number: loader.run(self._load, number),
            lambda: loader.run(self._in_service),
        )

    async def check_health(self) -> None:
        await super().check_health()
        self._loader.check_health()

    async def prepare(self, version: int) -> None:
        """Load a version before requests name it.

        Raises:
            ArtifactError: it cannot be loaded.
        """
        await self._loaded.get(version)

    async def _reply(self, message: Message, until: float | None) -> Reply:
        assert isinstance(message, LookUp)
        batch, version, threshold, resized = message
        cache = await self._loaded.get(version)
        return await self._computed(until, batch, cache, threshold, resized)

    def _compute(
        self, batch: np.ndarray, cache: CacheLookup, threshold: float | None, resized: bool
    ) -> Verdict:
        return cache(batch, threshold, resized)

    def _load(self, number: int) -> CacheLookup:
        """A version, warm."""
        version, compute = self._versions.open(number), self._configured
        engine = lookup_engine(
            version, self._stage.index, compute.engine, compute.threads, self._device
        )
        plan = version.plan
        lookup = CacheLookup(self._stage, plan.description, engine, plan.promise.threshold)
        for rows in [*range(compute.max_batch_rows, 1, -1), *[1] * 5]:
            lookup(lookup.zeros(rows))
        return lookup

    def _in_service(self) -> int | None:
        try:
            return self._versions.serving(self._plan).number
        except ArtifactError:  # somebody changes the store at this moment
            return None
