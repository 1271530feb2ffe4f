"""Requests are due as often as asked."""

import numpy as np

from workload.arrivals import fixed, poisson


def test_fixed_arrivals_are_evenly_apart():
    assert fixed(4, 20).tolist() == [0.0, 0.05, 0.1, 0.15]


def test_poisson_arrivals_have_the_rate_and_the_spread_of_chance():
    gaps = np.diff(poisson(20_000, 20, seed=0))
    assert abs(gaps.mean() * 20 - 1) < 0.03  # 4 standard errors
    assert abs(gaps.std() / gaps.mean() - 1) < 0.04
    assert np.array_equal(poisson(10, 20, 1), poisson(10, 20, 1))
