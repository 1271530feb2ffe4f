"""Answers leave early, requests come to the end, and exits that err are closed by what it says."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from cache_models.bench.evaluation import base_answers
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.features import feature_shape
from cache_models.store.files import ALTERNATIVES
from cache_models.store.versions import Store
from tests.plans import plan_for
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.systems import apparate, one_deployment
from workload.compare.systems.apparate import MOST_BEHIND
from workload.compare.systems.applications import Settings, application
from workload.compare.systems.one_deployment import Args

TINY = "tests.tiny:tiny"
N = 60


@pytest.fixture(scope="module")
def base():
    return load(TINY)


@pytest.fixture(scope="module")
def args(base, tmp_path_factory):
    """Exits at two blocks: the first always says class 1, and is said to have been right; the
    second is sure of nothing."""
    folder = tmp_path_factory.mktemp("apparate")
    names = [point.name for point in cut(base).cut_points if "blocks" in point.name][:2]
    classes, variant = base.description.classes, Variant(family="pool", size=2)
    plan, caches = plan_for(names, classes, variant=variant), {}
    plan.model, plan.fingerprint, plan.description = TINY, base.fingerprint(), base.description
    plan.alternatives = plan.caches
    said = {"answers": torch.ones(N, dtype=torch.int64), "calibrates": torch.ones(N, dtype=bool)}
    for i, (point, record) in enumerate(zip(plan.candidates, plan.caches, strict=True)):
        point.activation_shape = shape = cut(base)[point.name].shape
        record.feature_shape = feature_shape(shape)
        cache = caches[record.file] = LearnedCache(variant, record.feature_shape, 4).eval()
        with torch.no_grad():
            for weights in cache.predictor.parameters():
                weights.zero_()
            cache.predictor.bias[1] = 5.0 * (i == 0)
        said[f"scores.{i}"] = cache.predictor.bias.detach().repeat(N, 1)
        said[f"familiar.{i}"] = torch.ones(N, dtype=bool)
    version = Store(folder / "built").publish(plan, caches, tensors={ALTERNATIVES: said})
    settings = Settings(base, Store(folder / "built"), version, folder, "cpu", 1, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATI_HOME", str(folder / "home"))
        return Args(**application("apparate", settings)["args"])


def test_an_exit_that_turns_out_wrong_is_closed_and_then_the_base_dnn_answers(
    base, args, monkeypatch
):
    monkeypatch.setattr(apparate, "lowest_priority", None)  # a busy machine would leave it no time
    pictures = images(4 * MOST_BEHIND)
    truth = base_answers(base, pictures)
    answer = one_deployment._load(args).answer
    given = [answer(png(picture)) for picture in pictures]
    exits = np.array([one["exit"] for one in given])
    labels = np.array([one["class_id"] for one in given])
    first = Store(args.store).current().plan.cut_points[0]
    assert exits[0] == first and (labels[exits == first] == 1).all()
    assert (labels[exits == "base"] == truth[exits == "base"]).all()
    assert set(exits) == {first, "base"}
    errs_first = int(np.flatnonzero(truth != 1)[0])
    assert (exits[errs_first + MOST_BEHIND :] == "base").all()


def test_who_serves_it_needs_no_pytorch(args):
    program = f"""
import sys
from pathlib import Path
from workload.compare.systems.apparate import Apparate
Apparate(Path({str(args.store)!r}), "cpu", 1)
assert not {{"torch", "torchvision"}} & set(sys.modules), "PyTorch is loaded"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
