"""Requests are due as often as asked."""

import numpy as np
import pytest

from workload.errors import ParameterError
from workload.traffic import arrivals
from workload.traffic.arrivals import bursty, fixed, poisson


def test_fixed_arrivals_are_evenly_apart():
    assert fixed(4, 20).tolist() == [0.0, 0.05, 0.1, 0.15]


def test_poisson_arrivals_have_the_rate_and_the_spread_of_chance():
    gaps = np.diff(poisson(20_000, 20, seed=0))
    assert abs(gaps.mean() * 20 - 1) < 0.03  # 4 standard errors
    assert abs(gaps.std() / gaps.mean() - 1) < 0.04
    assert np.array_equal(poisson(10, 20, 1), poisson(10, 20, 1))


def test_bursty_arrivals_keep_the_rate_and_come_in_bursts():
    due_s = bursty(100_000, 50, seed=0, factor=8, share=0.2, mean_burst_s=2)
    assert (np.diff(due_s) >= 0).all()
    assert abs(len(due_s) / due_s[-1] / 50 - 1) < 0.1
    counts = np.bincount((due_s / 0.5).astype(int))
    dispersion = counts.var() / counts.mean()  # 1 of a Poisson process
    calm_per_s, burst_per_s = 50 / 2.4, 8 * 50 / 2.4
    between = 0.2 * 0.8 * (0.5 * (burst_per_s - calm_per_s)) ** 2  # of counts in half a second
    assert 0.7 * between / 25 < dispersion - 1 < 1.1 * between / 25
    at_least_busy = (counts > 0.5 * (0.5 * calm_per_s + 0.5 * burst_per_s)).mean()
    assert abs(at_least_busy - 0.2) < 0.04


def test_arrivals_by_name():
    assert arrivals.make("closed", 3, None, 0) is None
    assert arrivals.make("fixed", 2, 10, 0).tolist() == [0.0, 0.1]
    assert arrivals.make("replay", 2, None, 0, np.array([0.0, 3.0])).tolist() == [0.0, 3.0]
    made = arrivals.make("bursty:factor=3,share=0.5", 9, 10, 7)
    assert np.array_equal(made, bursty(9, 10, 7, factor=3, share=0.5))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("often", "none of closed, poisson"),
        ("poisson", "need a rate"),
        ("bursty:factor=0", "factor is '0'; it may be a number above 0"),
        ("fixed:rate=3", "one of none"),
        ("replay", "no times of its own"),
    ],
)
def test_what_cannot_be_is_refused_with_what_may(text, says):
    with pytest.raises(ParameterError, match=says):
        arrivals.make(text, 10, None, 0)
