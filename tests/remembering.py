"""A store of caches that remember streams, in a test's time."""

from pathlib import Path

import pytest

from cache_models.build.pipeline import build
from cache_models.data.samples import Samples
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from tests.streams import popular, scenes

LIMITS = Limits(max_disagreement=0.03, max_class_disagreement=0.5, confidence=0.8)


def built_on_scenes(folder: Path) -> Store:
    """Of streams."""
    return _built(folder, Samples(*scenes(12_000)))


def built_on_popular(folder: Path) -> Store:
    """With a memory that all share."""
    return _built(folder, Samples(popular(5_000)), shared_memory=True)


def _built(folder: Path, samples: Samples, shared_memory: bool = False) -> Store:
    """For `tests.tiny:tiniest`, whose slices seem to take 100 ms each."""
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "cache_models.build.survey.slice_costs",
            lambda engines, input_shape: [dict.fromkeys((1, 8), 100.0) for _ in engines],
        )
        build(
            load("tests.tiny:tiniest"),
            samples,
            "scenes",
            store,
            LIMITS,
            HopCost(fixed_ms=0, per_mb_ms=0),
            folder / "work",
            cut_points=["input"],
            variants=["pool-1", "fc-32"],
            shared_memory=shared_memory,
        )
    return store
