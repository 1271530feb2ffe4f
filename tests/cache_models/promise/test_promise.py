"""The promise: over calibration samples, the true disagreement exceeds the limit rarely enough."""

import numpy as np
import pytest
from scipy.stats import binom

from cache_models.promise.promise import PATH, Limits, calibrate, cascade, min_samples

EPSILON = 0.02


def population(rng: np.random.Generator, n: int):
    """One cache whose confidences are steps of the path, and whose hits at each are wrong so often
    that the risk of the path crosses `EPSILON` slowly: some step lies just above it."""
    step = rng.integers(0, len(PATH), n)
    wrong = rng.random(n) < 2.1 * EPSILON * step / len(PATH) * 1.05
    return step, wrong


def true_risk(threshold: float) -> float:
    loosest = np.searchsorted(-PATH, -threshold, side="right") - 1
    steps = np.arange(loosest + 1)
    return float((2.1 * EPSILON * steps / len(PATH) * 1.05).sum() / len(PATH))


def test_the_true_disagreement_exceeds_the_limit_in_at_most_5_percent_of_calibrations():
    """24 of 300 is what a rate of exactly 5 % exceeds with probability 0.01."""
    assert binom.sf(24, 300, 0.05) < 0.02
    above = [risk for risk in map(true_risk, PATH) if risk > EPSILON]
    assert min(above) < 1.05 * EPSILON
    rng = np.random.default_rng(0)
    limits = Limits(max_disagreement=EPSILON, max_class_disagreement=0.5)
    violations = hits = 0
    for _ in range(300):
        step, wrong = population(rng, 1500)
        promise = calibrate(
            [wrong.astype(int)], [PATH[step]], np.zeros(1500, int), classes=2, limits=limits
        )
        assert promise.threshold is not None
        violations += true_risk(promise.threshold) > EPSILON
        hits += (PATH[step] >= promise.threshold).mean() > 0.5
    assert violations <= 24
    assert hits > 250  # and it is not kept by never hitting


def test_a_class_that_is_often_wrong_holds_the_threshold_back():
    rng = np.random.default_rng(1)
    n = 4000
    answers = rng.integers(0, 10, n)
    confidences = rng.random(n) * 0.5 + 0.5
    predictions = np.where((answers == 3) & (rng.random(n) < 0.09), 4, answers)
    everyone = Limits(max_disagreement=0.02, max_class_disagreement=0.99)
    by_class = Limits(max_disagreement=0.02, max_class_disagreement=0.05)
    loose = calibrate([predictions], [confidences], answers, 10, everyone)
    strict = calibrate([predictions], [confidences], answers, 10, by_class)
    assert strict.threshold > loose.threshold
    assert all(record.tested for record in strict.classes)


def test_a_class_with_too_few_samples_is_left_out_and_says_so():
    answers = np.array([0] * 500 + [1] * 5)
    promise = calibrate([answers], [np.full(505, 1.0)], answers, 2, Limits())
    assert [record.tested for record in promise.classes] == [True, False]
    assert promise.threshold == PATH[-1]


def test_caches_stay_off_where_nothing_passes():
    answers = np.zeros(min_samples(0.01, 0.05) - 1, int)
    promise = calibrate([answers], [np.ones(len(answers))], answers, 2, Limits())
    assert promise.threshold is None


def test_a_request_exits_at_the_first_cache_that_hits():
    exits, labels = cascade(
        [np.array([1, 1, 1]), np.array([2, 2, 2])],
        [np.array([0.9, 0.1, 0.1]), np.array([0.9, 0.9, 0.1])],
        threshold=0.5,
    )
    assert exits.tolist() == [0, 1, 2]
    assert labels.tolist() == [1, 2, -1]


@pytest.mark.parametrize("limit", [0.01, 0.05])
def test_min_samples_is_the_first_number_that_passes(limit):
    n = min_samples(limit, 0.05)
    assert binom.cdf(0, n, limit) <= 0.05 < binom.cdf(0, n - 1, limit)
