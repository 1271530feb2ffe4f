"""Caches that are told which classes are frequent now answer more, and keep the same promise."""

import numpy as np
import pytest
import torch

from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.follow import retraining
from cache_models.follow.class_mix import mixes, specialised
from cache_models.follow.retraining import candidate_plan, keeps_promise, retrain
from cache_models.follow.traffic import Traffic
from cache_models.promise.promise import Limits
from cache_models.store.strata import TEST
from tests.plans import plan_for

K, D = 12, 4
CLASSES = "abcdefghijkl"
VARIANT = Variant(family="fc", size=32)
CENTRES = 1.5 * np.random.default_rng(1).standard_normal((K, D))
LIMITS = Limits(max_disagreement=0.02, max_class_disagreement=0.2)


def traffic(count, classes, seed, roles=None):
    """Many classes in clouds that overlap: for some inputs it takes a guess which it is."""
    rng = np.random.default_rng(seed)
    answers = rng.choice(classes, count)
    features = CENTRES[answers] + 0.7 * rng.standard_normal((count, D))
    probabilities = np.full((count, K), 0.01 / (K - 1), np.float32)
    probabilities[np.arange(count), answers] = 0.99
    drawn = rng.choice(3, count, p=[0.3, 0.2, 0.5]) if roles is None else np.full(count, roles)
    weights, blocks = np.ones(count, np.float32), np.arange(count) + seed * 100_000
    alone = np.zeros(len(drawn), np.int64), np.zeros(len(drawn))
    return Traffic([features.astype(np.float16)], probabilities, drawn, weights, blocks, *alone)


@pytest.fixture(scope="module")
def served():
    """A version that has learned all classes alike."""
    plan = plan_for(
        ["early"],
        classes=CLASSES,
        width=D,
        variant=VARIANT,
        threshold=None,
        compute_share=0.1,
        base_ms=100.0,
        lookup_ms=0.1,
    )
    torch.manual_seed(0)
    untrained = LearnedCache(VARIANT, (D,), K).eval()
    found = retrain(plan, [untrained], None, traffic(8000, K, 0), traffic(0, K, 1), LIMITS, 0.02)
    assert found.worth_it, found.why_not
    return candidate_plan(plan, found), found.caches


def test_few_classes_are_served_better_without_learning(served, monkeypatch):
    plan, caches = served
    monkeypatch.setattr(retraining, "go_on", lambda *args: pytest.fail("nothing has to be learned"))
    window, reservoir = traffic(3000, [0, 1, 2], 2), traffic(6000, K, 3)
    found = retrain(plan, caches, plan.promise.threshold, window, reservoir, LIMITS, 0.02)
    assert found.worth_it, found.why_not
    assert found.how == "class mix"
    assert found.after.hit_rate > found.before.hit_rate + 0.1
    now = candidate_plan(plan, found)
    fresh = traffic(4000, [0, 1, 2], 4, roles=TEST)
    assert keeps_promise(now, found.caches, fresh, LIMITS, 0.05) is True
    assert now.class_shares[0] > 1 / K > now.class_shares[5] > 0
    for other in range(3, K):  # nor is a class forgotten that comes no more
        known = traffic(1000, [other], 5, roles=TEST)
        loose = Limits(max_disagreement=LIMITS.max_class_disagreement)
        assert keeps_promise(now, found.caches, known, loose, 0.05), other


def test_where_the_mix_is_as_it_was_caches_stay_as_they_are(served):
    plan, caches = served
    samples = traffic(6000, K, 6)
    rows = np.arange(6000)
    mix = mixes(samples, rows, rows)[0]
    assert mix == pytest.approx(np.full(K, 1 / K), abs=0.02)
    (same,) = specialised(caches, samples, rows, np.array(plan.class_shares), mix)
    features = torch.from_numpy(samples.features[0])
    with torch.inference_mode():
        assert (
            same(features)[0].argmax(1) == caches[0](features)[0].argmax(1)
        ).float().mean() > 0.98


def test_the_mix_is_of_requests_and_not_of_samples():
    samples = traffic(2000, [0, 1], 7)
    samples.weights[samples.answers == 1] = 3.0  # each stands for three requests
    mild, *_, all_alike = mixes(samples, np.arange(0), np.arange(2000))
    assert mild[1] / mild[0] == pytest.approx(2.8, abs=0.3)  # a tenth counts samples
    assert all_alike[1] / all_alike[0] < 2
