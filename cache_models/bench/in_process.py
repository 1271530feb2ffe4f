"""All stages of a version in this process: where there is no server, and nothing waits."""

import numpy as np

from cache_models.cache.lookup import CacheLookup
from cache_models.cascade import Answers, Cascade, Control, Observer, Trace, run_now
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.engine.interface import EngineChoice
from cache_models.network.slice import Slice
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import LookUp, Message, Remember, Reply, Run, Stage
from cache_models.store.graphs import cache_lookup
from cache_models.store.version import CacheVersion


class InProcess:
    """A place for `Cascade`; also a slice or a lookup by itself, by its stage's name.

    Args:
        threads: of slices within one operation, by default as many as PyTorch has; lookups have
            one, as in service.
        choice: of the slices' engines.

    Raises:
        ArtifactError: the version was built for another base DNN.
    """

    def __init__(
        self,
        base: BaseDNN,
        version: CacheVersion,
        device: str = "cpu",
        threads: int | None = None,
        choice: EngineChoice = "auto",
    ):
        plan = version.plan
        plan.check_base(base)
        model, names = cut(base), plan.cut_points
        engines = slice_engines(base, model, names, threads, device, choice, plan.dtype)
        self.slices: dict[str, Slice] = {}
        self.lookups: dict[str, CacheLookup] = {}
        about = base.description
        self.stages = plan.stages()
        for stage in self.stages:
            if stage.is_lookup:
                self.lookups[stage.name] = cache_lookup(version, stage, "auto", threads=1)
            else:
                engine = engines[stage.slice_index]
                assert engine is not None, "partitions have something to run"
                self.slices[stage.name] = Slice(stage, about, engine)
        self._cascade = Cascade(
            self.stages,
            len(base.description.classes),
            self,
            Control(version.number, on=plan.promise.threshold is not None),
        )

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        if isinstance(message, LookUp):
            batch, _, threshold, resized, stream, at = message
            return self.lookups[stage.name](batch, threshold, resized, stream, at)
        assert isinstance(message, Run)
        return self.slices[stage.name](message.batch, message.resized)

    def tell(self, stage: Stage, message: Remember) -> None:
        self.lookups[stage.name].remember(message)

    def answer(
        self,
        batch: np.ndarray,
        use_caches: bool = True,
        observer: Observer | None = None,
        trace: Trace | None = None,
        stream: str = "",
        at: float = 0.0,
    ) -> Answers:
        """Arguments as of `Cascade.answer`; caches that have kept no promise are off."""
        walk = self._cascade.answer(batch, False, use_caches, observer, trace, stream=stream, at=at)
        return run_now(walk)
