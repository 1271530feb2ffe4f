"""Caches are learned and evaluated on a GPU, and keep their promise there."""

import numpy as np
import pytest

from cache_models.bench.evaluation import base_answers, evaluate
from cache_models.build.pipeline import build
from cache_models.data.samples import Samples
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from tests.tiny import images

LIMITS = Limits(max_disagreement=0.05, max_class_disagreement=0.3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_caches_are_learned_on_it(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(  # else a lookup costs more than this base DNN
        "cache_models.build.survey.slice_costs",
        lambda engines, description: [dict.fromkeys((1, 8), 100.0) for _ in engines],
    )
    base, free = load("tests.tiny:tiny"), HopCost(fixed_ms=0, per_mb_ms=0)
    version = build(
        base, Samples(images(1600)), "tiny", Store(tmp_path / "store"), LIMITS, free,
        tmp_path / "work", "cuda", dtype=dtype,
    )  # fmt: skip
    assert version.plan.caches and (version.plan.device, version.plan.dtype) == ("cuda", dtype)
    new = images(2000, seed=1)
    result = evaluate(base, version, new, "cuda")
    assert result.exits["base"] < 0.8
    assert result.disagreements <= 0.05 * result.samples
    assert np.mean(base_answers(base, new, "cuda") != base_answers(base, new)) <= 0.001
