"""Caches go off where they are wrong too often or nobody can tell, and come back when proven."""

import json

import numpy as np
import pytest

from cache_models.promise.promise import Limits
from deployments.config import GuardArgs, Sampling
from deployments.follow.messages import Observation
from deployments.follow.watch import Watch


def watch():
    return Watch(Limits(), GuardArgs(probation_samples=500), Sampling(rate=0.2, min_rate=0.02))


def observe(watch, wrong_share, count, answered=5, seed=0):
    """Whether caches may answer after `count` samples, of which `wrong_share` were wrong."""
    for wrong in np.random.default_rng(seed).random(count) < wrong_share:
        base = 0 if wrong else 1
        watch.observe(Observation("layer1", 1, base, 1, 0.2, 0.2, None, False, None))
        watch.count(answered, 1)
    return watch.why_off is None


@pytest.fixture(name="watch")
def fixture():
    return watch()


def test_good_caches_stay_on(watch):
    assert observe(watch, 0.005, 5000)


def test_bad_caches_go_off_until_they_are_proven(watch):
    observe(watch, 0.005, 1000)
    assert not observe(watch, 0.3, 60)
    assert not observe(watch, 0.02, 3000)
    assert observe(watch, 0.0, 2000)
    assert watch.status()["alarms"] == 1
    assert watch.status()["recent"]["disagreement"] == 0


def test_too_few_samples_switch_caches_off(watch):
    assert not observe(watch, 0.0, 50, answered=200)


def test_an_alarm_and_what_leads_to_it_survive_a_crash(watch):
    observe(watch, 0.005, 1000)
    wrong = 0
    while watch.why_off is None:
        observe(watch, 1.0, 1)
        wrong += 1
        before, now = watch, fixture_after(watch)
        assert (before.why_off, before.status()["alarms"]) == (now.why_off, now.status()["alarms"])
        watch = now
    assert wrong < 20


def fixture_after(crashed):
    again = watch()
    again.restore(json.loads(json.dumps(crashed.state())))
    return again
