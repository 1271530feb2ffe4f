"""A test counts independent draws of what is served, however samples were taken."""

import numpy as np
import pytest
from scipy.stats import binom

from cache_models.promise.promise import Limits, calibrate, most_disagreements
from cache_models.promise.units import units, units_by_class

RUNS = 300
EPSILON, LEVEL = 0.01, 0.05
LIMITS = Limits(max_disagreement=EPSILON, max_class_disagreement=0.5, confidence=1 - LEVEL)
MOST = 24
"""Of 300: what a rate of exactly 5 % exceeds with probability 0.01."""


def hard_days(rng):
    """1.6 % wrong and sampled at 1 % under load, where easy nights are 0.1 % wrong and sampled at
    10 %: truly 1.46 % wrong."""
    hard = rng.random(160_000) < 0.907
    sampled = rng.random(len(hard)) < np.where(hard, 0.01, 0.1)
    hard = hard[sampled]
    wrong = rng.random(len(hard)) < np.where(hard, 0.016, 0.001)
    return wrong, np.arange(len(hard)), np.where(hard, 100.0, 10.0)


def wrong_together(requests, rate):
    def draw(rng):
        """Requests of up to 32 rows, of which all or none are wrong."""
        rows = rng.integers(1, 33, requests)
        blocks = np.repeat(np.arange(requests), rows)
        return (rng.random(requests) < rate)[blocks], blocks, np.ones(len(blocks))

    return draw


def passes(wrong, blocks, weights):
    answers = np.zeros(len(wrong), int)
    promise = calibrate(
        [wrong.astype(int)],
        [np.ones(len(wrong))],
        answers,
        2,
        LIMITS,
        path=np.array([0.5]),
        blocks=blocks,
        weights=weights,
    )
    return promise.threshold is not None


@pytest.mark.parametrize(
    "draw", [hard_days, wrong_together(100, 0.02), wrong_together(1200, 0.0105)]
)
def test_what_is_wrong_too_often_passes_as_rarely_as_is_promised(draw):
    assert binom.sf(MOST, RUNS, LEVEL) < 0.02
    by_row = by_unit = 0
    for seed in range(RUNS):
        wrong, blocks, weights = draw(np.random.default_rng(seed))
        by_row += wrong.sum() <= most_disagreements(len(wrong), EPSILON, LEVEL)
        by_unit += passes(wrong, blocks, weights)
    assert by_unit <= MOST < by_row


def test_what_is_right_still_passes_by_units():
    for seed in range(20):
        wrong, blocks, weights = wrong_together(3000, 0.001)(np.random.default_rng(seed))
        assert passes(wrong, blocks, weights)


def test_every_request_is_a_unit_with_the_same_probability():
    """Blocks of two rows, of weights 1 and 3, and of one row of weight 8, the heaviest."""
    blocks = np.repeat([0, 1, 2], [2, 2, 1])
    weights = np.array([1.0, 3.0, 1.0, 3.0, 8.0])
    rng = np.random.default_rng(0)
    counts = np.zeros(5)
    for _ in range(8_000):
        rows = units(blocks, weights, rng)
        assert len(np.unique(blocks[rows])) == len(rows) and (np.diff(rows) > 0).all()
        counts[rows] += 1
    expected = 8_000 * weights / 8
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected)).all()


def test_by_class_a_block_gives_every_class_that_it_has_a_unit():
    answers, blocks = np.array([0, 0, 1, 1, 1]), np.array([7, 7, 7, 7, 8])
    rows = units_by_class(answers, blocks, np.array([1, 1, 1, 1, 2]), np.random.default_rng(0))
    assert np.bincount(answers[rows]).tolist() == [1, 2]


def test_where_all_blocks_are_alike_nothing_is_left_out():
    rng = np.random.default_rng(0)
    assert units(np.arange(1000) * 3, np.full(1000, 0.3), rng).tolist() == list(range(1000))
    assert not len(units(np.empty(0, int), np.empty(0), rng))
