"""Cut points are moved for a mix that gains by it, and the plan written can be served as it is."""

import numpy as np
import pytest
import torch

from cache_models.build.evidence import keep
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.training import train_selector
from cache_models.cache.variant import Variant
from cache_models.follow.advice import Adviser
from cache_models.follow.build_samples import has_samples
from cache_models.follow.said import load_said
from cache_models.promise.promise import Limits, cascade
from cache_models.store.files import ALTERNATIVES, SAMPLES
from cache_models.store.versions import Store
from tests.plans import plan_for

K, N, D = 3, 4000, 8
LIMITS = Limits()
VARIANT = Variant(family="fc", size=8)


def sure_cache() -> LearnedCache:
    """Told classes by its features, one-hot; unsure where they are zero."""
    cache = LearnedCache(VARIANT, (D,), K)
    hidden, out = (m for m in cache.predictor.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        hidden.weight.copy_(20 * torch.eye(8, D))
        out.weight.copy_(torch.eye(K, 8))
        hidden.bias.zero_(), out.bias.zero_()
    return cache.eval()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Deployed at `late`, which knows all classes; `early` knows class 0 only, at a tenth."""
    rng = np.random.default_rng(0)
    answers = rng.choice(K, N)
    late = np.zeros((N, D), np.float16)
    late[np.arange(N), answers] = 1
    early = late * (answers == 0)[:, None]
    caches = [sure_cache() for _ in range(2)]
    rows = np.arange(N)
    select, calibration = rows[: N // 2], rows[N // 2 :]
    for cache, features in zip(caches, (early, late), strict=True):
        with torch.inference_mode():
            scores = cache.predictor(torch.from_numpy(features[select]))
        train_selector(cache.selector, scores, torch.from_numpy(answers[select]), 1.0)
        cache.eval()
    plan = plan_for(["early", "late"], "abc", D, VARIANT, base_ms=100.0, lookup_ms=0.1)
    shares = dict(zip(("early", "late"), (0.1, 0.8), strict=True))
    points = [p.model_copy(update={"compute_share": shares[p.name]}) for p in plan.candidates]
    update = {"candidates": points, "alternatives": plan.caches, "caches": plan.caches[1:]}
    plan = plan.model_copy(update=update)
    files = [record.file for record in plan.alternatives]
    return Store(tmp_path_factory.mktemp("store")).publish(
        plan,
        dict(zip(files, caches, strict=True)),
        tensors={
            ALTERNATIVES: keep(caches, [early, late], answers, select, calibration),
            SAMPLES: {"inputs": torch.zeros(1, D)},
        },
    )


def test_cut_points_move_for_a_mix_that_gains_by_it(build):
    advice = Adviser(build).advise(np.array([0.9, 0.05, 0.05]), LIMITS)
    assert "early" in advice.cut_points
    assert advice.proposed_ms < 0.5 * advice.present_ms


def test_nothing_is_advised_where_nothing_is_gained_or_known(build):
    adviser = Adviser(build)
    assert adviser.advise(np.array([0.0, 0.5, 0.5]), LIMITS) is None
    assert adviser.advise(np.zeros(K), LIMITS) is None


def test_the_plan_proposed_keeps_the_promise_and_is_all_that_its_store_serves(build, tmp_path):
    adviser, store = Adviser(build), Store(tmp_path / "proposed")
    advice = adviser.advise(np.array([0.9, 0.05, 0.05]), LIMITS)
    for _ in range(2):
        version = adviser.propose(advice, store, LIMITS)
    assert store.versions() == [version.number]
    served = store.current()
    assert served.plan.cut_points == advice.cut_points
    assert served.plan.alternatives == build.plan.alternatives
    assert has_samples(served)
    caches = [served.load(i) for i in range(len(served.plan.caches))]
    said = load_said(served)
    assert len(said.scores) == len(caches)

    answers = np.random.default_rng(1).choice(K, N)
    late = np.zeros((N, D), np.float16)
    late[np.arange(N), answers] = 1
    features = {"early": late * (answers == 0)[:, None], "late": late}
    with torch.inference_mode():
        told = [
            cache(torch.from_numpy(features[name]))
            for cache, name in zip(caches, advice.cut_points, strict=True)
        ]
    _, labels = cascade(
        [probabilities.argmax(1).numpy() for probabilities, _ in told],
        [confidence.numpy() for _, confidence in told],
        served.plan.promise.threshold,
    )
    assert (labels >= 0).mean() > 0.3
    assert ((labels >= 0) & (labels != answers)).sum() <= N * LIMITS.max_disagreement
