"""False alarms are as rare as stated, and changes are noticed, however long all went well."""

import doctest

import numpy as np
import pytest

from cache_models.promise import guard
from cache_models.promise.guard import Guard


def delays(disagreement, before, trials, seed=0):
    """Samples from a change to the alarm, in streams without an alarm before, all at once."""
    rng, watch = np.random.default_rng(seed), Guard(0.01, 100_000, trials)
    kept, silent, delay = np.ones(trials, bool), np.ones(trials, bool), np.zeros(trials, int)
    for _ in range(before):
        kept &= ~watch.update(rng.random(trials) < 0.01)
    while silent[kept].any():
        delay[silent] += 1
        silent &= ~watch.update(rng.random(trials) < disagreement)
    return delay[kept]


def test_the_docstrings_example_runs():
    assert doctest.testmod(guard).failed == 0


def test_false_alarms_are_at_least_so_many_samples_apart_on_average():
    apart, alarms, streams = 2_000, 0, 20
    watch = Guard(0.01, apart, streams)
    for wrong in np.random.default_rng(0).random((10_000, streams)) < 0.01:
        found = watch.update(wrong)
        alarms += found.sum()
        watch.reset(found)
    # at most 100 expected; a Poisson count of mean 100 exceeds 124 with probability 0.01
    assert alarms <= 124
    assert alarms > 0  # or the guard sleeps


@pytest.mark.parametrize(("disagreement", "within"), [(0.05, 600), (0.10, 160), (0.30, 40)])
def test_a_change_is_noticed(disagreement, within):
    # soon after the start, when there is the least evidence to build on
    assert np.median(delays(disagreement, before=200, trials=100)) <= within


def test_long_good_service_does_not_delay_the_alarm():
    short, long = delays(0.1, 100, trials=60), delays(0.1, 5_000, trials=60, seed=1)
    assert np.mean(long) <= 1.3 * np.mean(short)


def test_fewer_wrong_answers_than_promised_raise_no_alarm():
    watch = Guard(0.01, 10_000)
    wrong = np.random.default_rng(0).random((50_000, 1)) < 0.004
    assert not any(watch.update(each)[0] for each in wrong)


def test_every_threshold_has_an_alarm_of_its_own():
    watch = Guard(0.01, 10_000, thresholds=3)
    wrong = np.random.default_rng(0).random((300, 1)) < np.array([0.0, 0.005, 0.3])
    alarms = np.array([watch.update(each) for each in wrong]).any(0)
    assert alarms.tolist() == [False, False, True]
