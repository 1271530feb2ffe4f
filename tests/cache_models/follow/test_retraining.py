"""A round follows the traffic, forgets no class, and publishes nothing that it could not test."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.follow import learning, retraining
from cache_models.follow.retraining import candidate_plan, keeps_promise, retrain
from cache_models.follow.standing import Asked
from cache_models.follow.traffic import Sample, Traffic
from cache_models.follow.traffic_log import TrafficLog
from cache_models.promise import promise
from cache_models.promise.promise import Limits, exits_and_mistakes
from cache_models.store.strata import SELECT, TEST, TRAIN
from tests.plans import plan_for

K, D = 4, 8
LIMITS = Limits()
VARIANT = Variant(family="fc", size=32)
CENTRES = 2.0 * np.random.default_rng(9).standard_normal((K, D))


def traffic(count, classes, seed, moved=0.0, roles=None):
    """Classes in clouds round their centres; `moved` shifts them all."""
    rng = np.random.default_rng(seed)
    answers = rng.choice(classes, count)
    features = CENTRES[answers] + rng.standard_normal((count, D)) * 0.8 + moved
    probabilities = np.full((count, K), 0.01 / (K - 1), np.float32)
    probabilities[np.arange(count), answers] = 0.99
    roles = rng.choice(3, count, p=[0.3, 0.2, 0.5]) if roles is None else np.full(count, roles)
    return Traffic(
        [features.astype(np.float16)],
        probabilities,
        roles.astype(np.uint8),
        np.ones(count, np.float32),
        np.arange(count) + seed * 10_000,
        np.zeros(count, np.int64),
        np.zeros(count),
    )


def plan_with(threshold):
    return plan_for(
        ["early"],
        classes="abcd",
        width=D,
        variant=VARIANT,
        threshold=threshold,
        compute_share=0.1,
        base_ms=100.0,
        lookup_ms=0.1,
    )


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return LearnedCache(VARIANT, (D,), K).eval()


def test_a_round_keeps_what_is_at_stake_where_a_cache_stands(untrained):
    late = copy.deepcopy(untrained)
    late.selector.stake.fill_(0.25)
    found = retrain(
        plan_with(None), [late], None, traffic(4000, K, 0), traffic(0, K, 0), LIMITS, 0.02
    )
    assert [cache.selector.stake for cache in found.caches] == [0.25]


@pytest.fixture(scope="module")
def served(untrained):
    """A version that has learned all classes."""
    found = retrain(
        plan_with(None), [untrained], None, traffic(4000, K, 0), traffic(0, K, 0), LIMITS, 0.02
    )
    assert found.worth_it, found.why_not
    return candidate_plan(plan_with(None), found), found.caches


def test_caches_come_from_the_traffic_alone(served):
    plan, caches = served
    assert plan.promise.threshold is not None
    assert plan.expected.hit_rate > 0.5
    assert plan.expected.exits["base"] == pytest.approx(1 - plan.expected.hit_rate)
    assert keeps_promise(plan, caches, traffic(2000, K, 5), LIMITS, 0.05)


def test_a_round_follows_traffic_that_has_moved(served):
    plan, caches = served
    reservoir = traffic(3000, K, 1)
    found = retrain(
        plan,
        caches,
        plan.promise.threshold,
        traffic(3000, [0, 1], 2, moved=1.5),
        reservoir,
        LIMITS,
        0.02,
    )
    assert found.worth_it, found.why_not
    assert found.after.hit_rate > found.before.hit_rate + 0.1
    now = traffic(3000, [0, 1], 3, moved=1.5, roles=TEST)
    assert keeps_promise(candidate_plan(plan, found), found.caches, now, LIMITS, 0.05)
    for class_id in range(K):  # also those that the window has not seen
        known = traffic(1000, [class_id], 4, roles=TEST)
        loose = Limits(max_disagreement=LIMITS.max_class_disagreement)
        assert keeps_promise(candidate_plan(plan, found), found.caches, known, loose, 0.05)


def test_a_class_that_would_be_forgotten_stops_a_candidate(served):
    plan, caches = served
    rng = np.random.default_rng(0)
    reservoir = traffic(2000, K, 1)
    wrong = (reservoir.roles == TEST) & (reservoir.answers == 3)
    features = reservoir.features[0].copy()  # what class 3 looks like now, nobody trained on
    features[wrong] = CENTRES[0] + rng.standard_normal((wrong.sum(), D)) * 0.5
    spoilt = replace(reservoir, features=[features])
    found = retrain(
        plan,
        caches,
        plan.promise.threshold,
        traffic(3000, [0, 1], 2, moved=1.5),
        spoilt,
        LIMITS,
        0.02,
    )
    assert not found.worth_it
    assert found.promise is None or found.promise.threshold is None


def test_only_independent_test_samples_test(served):
    plan, caches = served
    window, reservoir = traffic(3000, [0, 1], 2, moved=1.5), traffic(3000, K, 1)
    probabilities = window.probabilities.copy()
    spoilt = (window.roles == TEST) & (np.arange(3000) % 2 == 0)  # half of them: missed everywhere
    probabilities[spoilt] = np.eye(K, dtype=np.float32)[3]
    poisoned = replace(window, probabilities=probabilities, weights=(~spoilt).astype(np.float32))
    found = retrain(plan, caches, plan.promise.threshold, poisoned, reservoir, LIMITS, 0.02)
    assert found.worth_it, found.why_not
    assert found.promise.samples == ((window.roles == TEST) & ~spoilt).sum()
    honest = retrain(
        plan,
        caches,
        plan.promise.threshold,
        replace(poisoned, weights=window.weights),
        reservoir,
        LIMITS,
        0.02,
    )
    assert not honest.worth_it


def test_a_test_is_spent_before_its_samples_are_read_whatever_happens_then(
    served, tmp_path, monkeypatch
):
    log, asked_before = TrafficLog(tmp_path / "log.sqlite", [(D,)], K), []
    log.add([Sample([np.zeros(D)], np.eye(K)[0])])
    asked = []
    monkeypatch.setattr(
        retraining,
        "calibrate",
        lambda *said, **how: asked.append(len(said[2])) or promise.calibrate(*said, **how),
    )

    def spend():
        log.spend_test()
        asked_before.extend(asked)
        raise KeyboardInterrupt  # as a crash would end it

    window, reservoir = traffic(3000, [0, 1], 2, moved=1.5), traffic(3000, K, 1)
    with pytest.raises(KeyboardInterrupt):
        retrain(*served, served[0].promise.threshold, window, reservoir, LIMITS, 0.02, spend)
    assert asked == asked_before
    assert set(asked) == {(window.roles == SELECT).sum() + (reservoir.roles == SELECT).sum()}
    with pytest.raises(KeyboardInterrupt):
        keeps_promise(*served, window, LIMITS, 0.02, spend)
    assert not keeps_promise(*served, traffic(100, K, 2), LIMITS, 0.02, spend)  # none is possible
    assert TrafficLog(tmp_path / "log.sqlite", [(D,)], K).tests == 2


def test_copies_teach_predictors_and_nothing_else(untrained, monkeypatch):
    learned_on = {}
    for name, places in {"fit_predictor": (3, 4), "fit_gate": (2, 3)}.items():
        function = getattr(learning, name)

        def spy(*args, name=name, places=places, function=function, **more):
            learned_on[name] = [args[place] for place in places]
            return function(*args, **more)

        monkeypatch.setattr(learning, name, spy)
    window, reservoir = traffic(1500, K, 2), traffic(3000, K, 1)
    copies = traffic(300, K, 3, roles=TRAIN)
    copies = replace(copies, weights=np.zeros(300, np.float32))
    fresh = plan_with(None), [untrained]
    found = retrain(*fresh, None, window, reservoir, LIMITS, 0.02, copies=copies)
    assert found.promise.samples == (window.roles == TEST).sum()
    trains, selects = (
        {*np.flatnonzero(np.append(reservoir.roles, window.roles) == role)}
        for role in (TRAIN, SELECT)
    )
    taught, stops = learned_on["fit_predictor"]
    assert {*taught} == trains | {*range(4500, 4800)} and {*stops} == selects
    assert list(map(set, learned_on["fit_gate"])) == [trains, selects]


def test_too_few_samples_are_said_and_nothing_is_trained(served):
    plan, caches = served
    found = retrain(
        plan, caches, plan.promise.threshold, traffic(300, K, 2), traffic(3000, K, 1), LIMITS, 0.02
    )
    assert "independent samples to test on; at least 390 are needed" in found.why_not
    assert found.promise is None and not found.caches


def test_what_is_switched_off_is_no_rival_to_what_would_repair_it(served):
    plan, caches = served
    window, reservoir = traffic(3000, K, 2), traffic(3000, K, 1)
    bold = plan.model_copy(
        update={"promise": plan.promise.model_copy(update={"threshold": 0.0})}
    )  # hits everything, is often wrong, and seems as quick as can be
    often_wrong = LearnedCache(VARIANT, (D,), K).eval()
    often_wrong.predictor.load_state_dict(caches[0].predictor.state_dict())
    args = window, reservoir, LIMITS, 0.02
    rival = retrain(bold, [often_wrong], 0.0, *args)
    assert not rival.worth_it and "expected latency" in rival.why_not
    repaired = retrain(bold, [often_wrong], None, *args)
    assert repaired.worth_it, repaired.why_not
    assert repaired.before.hit_rate == 0 and repaired.after.hit_rate > 0.3
    assert repaired.before.latency_ms == plan.expected.base_latency_ms


def test_a_threshold_that_errs_too_often_is_no_rival(served):
    """Caches that answer all of what has moved, 2 % of it wrong, are as quick as can be."""
    plan, caches = served
    bold = plan.promise.model_copy(update={"threshold": 0.02})
    plan = plan.model_copy(update={"promise": bold})
    open_gate = LearnedCache(VARIANT, (D,), K).eval()
    for part in ("predictor", "selector"):
        getattr(open_gate, part).load_state_dict(getattr(caches[0], part).state_dict())
    window, reservoir = traffic(3000, [0, 1], 2, moved=5.0), traffic(3000, K, 1)
    said = Asked(plan, window).of([open_gate], np.arange(3000))
    exits, wrong = exits_and_mistakes(*said, window.answers, 0.02)
    assert (exits == 0).all() and wrong.mean() > 0.02
    found = retrain(plan, [open_gate], plan.promise.threshold, window, reservoir, LIMITS, 0.02)
    assert found.worth_it, found.why_not
    assert found.after.latency_ms < found.before.latency_ms


def test_no_gain_costs_no_test(served):
    plan, caches = served
    boldest = plan.promise.model_copy(update={"threshold": 0.1})
    plan = plan.model_copy(update={"promise": boldest})
    open_gate = LearnedCache(VARIANT, (D,), K).eval()  # hits everything, so cannot be improved
    open_gate.predictor.load_state_dict(caches[0].predictor.state_dict())
    open_gate.selector.linear.bias.data.fill_(100.0)
    found = retrain(
        plan,
        [open_gate],
        plan.promise.threshold,
        traffic(2000, K, 2),
        traffic(3000, K, 1),
        LIMITS,
        0.02,
    )
    assert not found.worth_it and found.promise is None
    assert "expected latency" in found.why_not
    assert found.record()["tested"] is False


def test_a_version_that_is_wrong_now_does_not_keep_the_promise(served):
    plan, caches = served
    window = traffic(2000, K, 2, roles=TEST)
    swapped = replace(window, probabilities=window.probabilities[:, ::-1].copy())
    assert not keeps_promise(plan, caches, swapped, LIMITS, 0.05)
