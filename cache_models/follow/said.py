"""What a build's caches said of its calibration samples, read from beside its plan."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from cache_models.store.files import ALTERNATIVES
from cache_models.store.version import CacheVersion


@dataclass(frozen=True)
class Said:
    """
    Attributes:
        scores: of each deployed cache's predictor, in execution order, `(N, K)`.
        familiar: each cache's gate, `(N,)` bool.
        answers: the base DNN's labels, `(N,)`.
    """

    scores: list[Tensor]
    familiar: list[Tensor]
    answers: np.ndarray


def load_said(build: CacheVersion) -> Said:
    """
    Args:
        build: a version that came from a build.

    Raises:
        ArtifactError: it did not, or what it left cannot be read.
    """
    plan, held = build.plan, build.tensors(ALTERNATIVES)
    files = [record.file for record in plan.alternatives]
    places = [files.index(cache.file) for cache in plan.caches]
    calibrates = held["calibrates"]
    return Said(
        [held[f"scores.{i}"][calibrates].float() for i in places],
        [held[f"familiar.{i}"][calibrates] for i in places],
        held["answers"][calibrates].numpy(),
    )
