"""All stages of a version in this process: where there is no server, and nothing waits."""

import numpy as np

from cache_models.cascade import Answers, Cascade, Control, Observer, Trace, run_now
from cache_models.cascade.here import Here, lookups_of
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.engine.interface import EngineChoice
from cache_models.network.slice import Slice
from cache_models.network.slice_engines import slice_engines
from cache_models.store.version import CacheVersion


class InProcess(Here):
    """A place and the `Cascade` that walks it; also a slice or a lookup by itself.

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
        about, slices = base.description, {}
        self.stages = plan.stages()
        for stage in self.stages:
            if not stage.is_lookup:
                engine = engines[stage.slice_index]
                assert engine is not None, "partitions have something to run"
                slices[stage.name] = Slice(stage, about, engine)
        super().__init__(slices, lookups_of(version))
        self._cascade = Cascade(
            self.stages,
            len(base.description.classes),
            self,
            Control(version.number, on=plan.promise.threshold is not None),
        )

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
