"""False alarms are as rare as stated, and changes are noticed, however long all went well."""

import doctest

import numpy as np
import pytest

from cache_models.promise import guard
from cache_models.promise.guard import Guard, detection_delays, false_alarms


def test_the_docstrings_example_runs():
    assert doctest.testmod(guard).failed == 0


def test_false_alarms_are_at_least_so_many_samples_apart_on_average():
    samples, apart = 200_000, 2_000
    alarms = false_alarms(0.01, apart, samples)
    # at most 100 expected; a Poisson count of mean 100 exceeds 124 with probability 0.01
    assert alarms <= 124
    assert alarms > 0  # or the guard sleeps


@pytest.mark.parametrize(("disagreement", "within"), [(0.05, 600), (0.10, 160), (0.30, 40)])
def test_a_change_is_noticed(disagreement, within):
    # soon after the start, when there is the least evidence to build on
    delays = detection_delays(0.01, 100_000, disagreement, before=200, trials=100)
    assert np.median(delays) <= within


def test_long_good_service_does_not_delay_the_alarm():
    short = detection_delays(0.01, 100_000, 0.1, before=100, trials=60)
    long = detection_delays(0.01, 100_000, 0.1, before=5_000, trials=60, seed=1)
    assert np.mean(long) <= 1.3 * np.mean(short)


def test_fewer_wrong_answers_than_promised_raise_no_alarm():
    rng = np.random.default_rng(0)
    watch = Guard(0.01, 10_000)
    assert not any(watch.update(wrong) for wrong in rng.random(50_000) < 0.004)
