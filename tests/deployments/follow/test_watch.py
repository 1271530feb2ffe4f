"""Caches go off where they are wrong too often or nobody can tell, and come back when proven."""

import json
from pathlib import Path

import numpy as np
import pytest

from cache_models.promise.promise import PATH
from cache_models.store.version import CacheVersion
from deployments.config import GuardArgs, Sampling
from deployments.follow.watch import Watch
from tests.deployments.follow.observed import observation
from tests.plans import plan_for

THRESHOLD = float(PATH[40])


def watch_for(number=7, names=("early",)):
    plan = plan_for(names, classes=("a", "b"), threshold=THRESHOLD)
    sampling = Sampling(rate=0.2, min_rate=0.02)
    return Watch(CacheVersion(number, plan, Path("nowhere")), GuardArgs(), sampling)


def observe(watch, wrong_share, count, answered=5, seed=0):
    """Whether caches may answer after `count` samples, of which `wrong_share` were wrong."""
    for wrong in np.random.default_rng(seed).random(count) < wrong_share:
        watch.observe(observation(1, said=0 if wrong else 1, weight=5.0))
        watch.count(answered, 1)
    return watch.why_off is None


@pytest.fixture
def watch():
    return watch_for()


def test_good_caches_stay_on(watch):
    assert observe(watch, 0.005, 5000)
    assert watch.threshold <= THRESHOLD and watch.alarms == 0


def test_bad_caches_go_off_until_they_are_proven(watch):
    observe(watch, 0.005, 1000)
    assert not observe(watch, 0.3, 60)
    assert watch.need == "all"
    assert not observe(watch, 0.02, 3000)
    assert observe(watch, 0.0, 4000)
    assert watch.alarms == 1
    recent = watch.status()["recent"]
    assert recent["disagreement"] == recent["disagreement_lower"] == 0
    assert 0 < recent["disagreement_upper"] < watch.status()["max_disagreement"] == 0.01


def test_too_few_samples_switch_caches_off(watch):
    assert not observe(watch, 0.0, 50, answered=200)
    assert watch.why_off.startswith("only 25 samples of 5000")


def test_a_cache_that_could_not_say_says_nothing_against_itself(watch):
    for _ in range(100):
        watch.observe(observation(0)._replace(said=(None,)))
    assert watch.why_off is None and watch.sampled == 0


@pytest.mark.parametrize("block_s", [0.0, 10.0])
def test_what_may_depend_on_each_other_is_one_bet(watch, block_s):
    watch.block_s = block_s
    watch._controller.distrust()
    for second in range(1500):
        watch.observe(observation(1, weight=1.0, at=float(second)))
    assert (watch.threshold is None) == (block_s > 0)


def test_samples_are_wanted_as_long_as_there_is_something_to_learn(watch):
    assert watch.need == "much"
    observe(watch, 0.0, 1000)
    assert watch.need == "little"
    observe(watch, 1.0, 1)
    assert watch.need == "suspicion"
    observe(watch, 0.0, 20)
    assert watch.need == "little"


def test_an_alarm_and_what_leads_to_it_survive_a_crash(watch):
    observe(watch, 0.005, 1000)
    wrong = 0
    while watch.why_off is None:
        observe(watch, 1.0, 1)
        wrong += 1
        before, now = watch, after_a_crash(watch)
        assert (before.why_off, before.threshold) == (now.why_off, now.threshold)
        assert before.alarms == now.alarms
        watch = now
    assert wrong < 20


@pytest.mark.parametrize("why_off", ["an alarm", None])
def test_of_another_version_s_state_only_whether_caches_are_off_is_taken_over(why_off):
    older = {"version": 6, "why_off": why_off, "alarms": 3, "controller": {}}
    again = watch_for()
    again.restore(older)
    assert (again.threshold is None) == (why_off is not None)
    assert (again.why_off, again.alarms) == (why_off, 3)


def after_a_crash(crashed):
    again = watch_for()
    again.restore(json.loads(json.dumps(crashed.state())))
    return again
