"""A deployment that asks the learned cache at one cut point."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import numpy as np
from ray import serve

from cache_models.cache.lookup import CacheLookup
from cache_models.cache.stream_memory import StreamLimits
from cache_models.errors import ArtifactError
from cache_models.network.device import resolve
from cache_models.network.stages import LookUp, Message, Remember, Remembered, Reply, Stage
from cache_models.store.graphs import cache_lookup
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import Compute, LaneArgs
from deployments.graph.compute import ComputeLoop, ComputeThread
from deployments.graph.loaded import LoadedVersions
from deployments.graph.replica import Replica

Result = TypeVar("Result")


class _Told:
    """What the base DNN answered, for a cache to remember; no two are computed together."""

    def __init__(self, cache: CacheLookup, message: Remember):
        self._cache, self._message = cache, message

    def __call__(self, batch: np.ndarray) -> Remembered:
        return self._cache.remember(self._message)


class LookupReplica(Replica):
    """The learned cache of one stage, in the version that a request names.

    A version that is not in memory is loaded meanwhile, and the request waits for it; its timeout
    may make it a miss.
    """

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        store: str,
        compute: Compute,
        lane: LaneArgs,
        streams: StreamLimits | None = None,
        limit: Callable[[], int] | None = None,
    ):
        """
        Args:
            limit: as of `Endpoint`.
        """
        self._device = resolve(compute.device)
        quick = self._device == "cpu" and compute.threads == 1
        place = ComputeLoop() if quick else ComputeThread()
        super().__init__(compute, lane, store, place, limit)
        self._stage, self._plan, self._configured = stage, plan, compute
        self._streams = streams
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

    async def forget(self) -> None:
        """All streams, in every version."""
        await self._in_turn(lambda: [cache.forget() for cache in self._loaded.ready()])

    async def state(self) -> dict[str, float]:
        """What is remembered of streams, too: the most of a version, and the bytes of all."""
        if not self._stage.remembers:
            return await super().state()
        caches = self._loaded.ready()
        streams, size = await self._in_turn(
            lambda: (max(c.streams for c in caches), sum(c.stream_bytes for c in caches))
        )
        return {**await super().state(), "streams": streams, "stream_bytes": size}

    async def _in_turn(self, function: Callable[[], Result]) -> Result:
        """What it returns, called between two batches."""
        done: Future[Result] = Future()
        self._place.submit(lambda: done.set_result(function()))
        return await self._place.done(done)

    async def _reply(self, message: Message, until: float | None) -> Reply:
        if isinstance(message, Remember):
            cache = await self._loaded.get(message.version)
            return await self._computed(until, message.batch, _Told(cache, message))
        assert isinstance(message, LookUp)
        batch, version, *how = message
        cache = await self._loaded.get(version)
        return await self._computed(until, batch, cache, *how)

    def _compute(self, batch: np.ndarray, cache: "CacheLookup | _Told", *how) -> Reply:
        return cache(batch, *how)

    def _load(self, number: int) -> CacheLookup:
        """A version, warm."""
        version, compute = self._versions.open(number), self._configured
        lookup = cache_lookup(
            version,
            self._stage,
            compute.engine,
            compute.threads,
            self._device,
            self._streams,
        )
        for rows in [*range(compute.max_batch_rows, 1, -1), *[1] * 5]:
            lookup(lookup.zeros(rows))
        return lookup

    def _in_service(self) -> int | None:
        try:
            return self._versions.serving(self._plan).number
        except ArtifactError:  # somebody changes the store at this moment
            return None


Lookup = serve.deployment(
    LookupReplica,
    name="Lookup",
    max_ongoing_requests=64,
    health_check_period_s=1,
    ray_actor_options={"num_cpus": 0.1},
)
