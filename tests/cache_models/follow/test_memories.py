"""A round retrains caches that remember streams, and tests them as they will be served."""

from dataclasses import replace

import numpy as np
import pytest

from cache_models.cache.novelty import fit_gate
from cache_models.cache.recall_training import fit_recall
from cache_models.cache.training import train_cache
from cache_models.cache.variant import Variant
from cache_models.follow.retraining import candidate_plan, keeps_promise, retrain
from cache_models.follow.standing import Asked, at_threshold
from cache_models.follow.traffic import Sample, Traffic
from cache_models.follow.traffic_log import TrafficLog
from cache_models.promise.blocks import block_numbers
from cache_models.promise.promise import Limits, exits_and_mistakes
from cache_models.store.strata import SELECT, TEST, TRAIN
from tests.plans import plan_for
from tests.streams import CLASSES, VALUES, stays

LIMITS, LEVEL = Limits(max_disagreement=0.05, max_class_disagreement=0.5, confidence=0.9), 0.05
VARIANT = Variant(family="fc", size=32)
BLOCK_S, STRETCH_S, RATE = 3.0, 30.0, 0.2


def traffic(count, seed, scale=1.0, role=None):
    """Of streams, all that a served system would write down where it answers every other request:
    a fifth is sampled, and the rest of what missed is known, too."""
    features, answers, streams, at = stays(count, seed=seed)
    rng = np.random.default_rng(seed)
    sampled = rng.random(count) < RATE
    kept = np.flatnonzero(sampled | (rng.random(count) < 0.5))
    features, answers, streams, at = (part[kept] for part in (features, answers, streams, at))
    probabilities = np.full((len(kept), CLASSES), 0.02, np.float32)
    probabilities[np.arange(len(kept)), answers] = 0.94
    by_stretch = rng.choice([TRAIN, SELECT, TEST], (6, 1_000), p=[0.3, 0.2, 0.5])
    roles = by_stretch[streams, (at // STRETCH_S).astype(int)].astype(np.uint8)
    keys = streams + 1 + 100 * seed
    return Traffic(
        [(features * scale).astype(np.float16)],
        probabilities,
        roles if role is None else np.full(len(kept), role, np.uint8),
        np.where(sampled[kept], 1 / RATE, 0).astype(np.float32),
        block_numbers(keys, at, BLOCK_S),
        keys,
        at,
    )


NONE = traffic(0, 0)


@pytest.fixture(scope="module")
def served():
    """A plan whose cache answers nothing without a past, and that cache."""
    features, answers, streams, at = stays(9_000)
    probabilities = np.full((len(answers), CLASSES), 0.02, np.float32)
    probabilities[np.arange(len(answers)), answers] = 0.94
    train, select = np.split(np.arange(len(answers)), [5_000])
    gate = fit_gate(features, probabilities, train, select)
    cache = train_cache(VARIANT, features, probabilities, train, select, gate=gate)
    cache.recall = fit_recall(cache, features, answers, streams, at, train, select)
    plan = plan_for(
        ["early"],
        classes="abcd",
        width=VALUES,
        variant=VARIANT,
        threshold=0.9,
        compute_share=0.1,
        base_ms=100.0,
        lookup_ms=0.1,
        remember=["early"],
    )
    plan.caches[0].memory.alone = False
    return plan, [cache]


@pytest.fixture(scope="module")
def followed(served):
    """What a round makes of traffic whose features have grown."""
    plan, caches = served
    return retrain(plan, caches, 0.9, traffic(15_000, 1, scale=3.0), NONE, LIMITS, LEVEL)


def hits_and_wrong(plan, caches, samples):
    rows = np.flatnonzero(samples.independent)
    said = at_threshold(Asked(plan, samples).of(caches, rows), plan.promise.threshold)
    exits, wrong = exits_and_mistakes(*said, samples.answers[rows], plan.promise.threshold)
    return (exits == 0).mean(), wrong.mean()


def test_a_round_learns_anew_what_a_past_is_worth_and_keeps_the_promise(served, followed):
    assert followed.worth_it, followed.why_not
    assert followed.after.hit_rate > followed.before.hit_rate + 0.1
    plan = candidate_plan(served[0], followed)
    assert plan.remembers and plan.caches[0].memory == served[0].caches[0].memory
    now = traffic(9_000, 2, scale=3.0, role=TEST)
    assert keeps_promise(plan, followed.caches, now, LIMITS, LEVEL)
    hits, wrong = hits_and_wrong(plan, followed.caches, now)
    assert wrong < LIMITS.max_disagreement
    assert hits > hits_and_wrong(*served, now)[0] + 0.1


def test_without_a_past_such_caches_answer_nothing_and_test_nothing(served, followed):
    plan = candidate_plan(served[0], followed)
    now = traffic(3_000, 3, scale=3.0, role=TEST)
    alone = replace(now, streams=np.zeros_like(now.streams))
    assert hits_and_wrong(plan, followed.caches, alone) == (0, 0)
    window = traffic(15_000, 1, scale=3.0)
    again = retrain(*served, 0.9, window, alone, LIMITS, LEVEL)
    assert again.promise.samples == followed.promise.samples
    assert sum(of.samples for of in again.promise.classes) == sum(
        of.samples for of in followed.promise.classes
    )


def test_a_stream_without_enough_of_a_past_leaves_the_memory_as_it_was(served):
    plan, caches = served
    window = traffic(9_000, 1)
    strangers = replace(window, streams=np.arange(1, 1 + len(window.roles)))
    found = retrain(plan, caches, None, strangers, NONE, LIMITS, LEVEL)
    for cache in found.caches:
        assert (cache.recall.projection == caches[0].recall.projection).all()


def test_the_log_keeps_what_missed_as_the_past_of_its_stream(tmp_path):
    def roles(past):
        log = TrafficLog(tmp_path / f"{past}.sqlite", [(2,)], 2, seed=0, past=past)
        log.set_state("roles", {**log.state("roles"), "block_s": 1.0})
        features, probabilities = [np.ones(2, np.float16)], np.array([0.9, 0.1], np.float32)
        log.add(
            Sample(features, probabilities, weight, "camera", at)
            for at in np.arange(1, 1_000.0)
            for weight in (1.0, 0.0)
        )
        window = log.window()
        assert (window.at >= 1).all() and len(np.unique(window.streams)) == 1
        return window.roles[window.weights == 0]

    assert (roles(past=False) == TRAIN).all()
    with_past = roles(past=True)
    assert len(with_past) == 999 and not np.isin(with_past, (SELECT, TEST)).any()
