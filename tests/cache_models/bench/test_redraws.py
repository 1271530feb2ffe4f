"""Builds and their service, drawn anew, keep the promise in the long run."""

import numpy as np
import pytest

from cache_models.bench.redraws import KINDS, Population, redraw
from cache_models.promise.promise import Limits

CLASSES = 4


@pytest.fixture(scope="module")
def population():
    """A cache whose confidence is what it seems."""
    rng = np.random.default_rng(0)
    confidences = 1 / (1 + np.exp(-rng.normal(5, 2, (1, 4000))))
    answers = rng.integers(0, CLASSES, 4000)
    wrong = rng.random((1, 4000)) > confidences
    return Population((answers + wrong) % CLASSES, confidences, answers, CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_wrong_in_the_long_run_than_promised(population, kind):
    wrong = [redraw(population, kind, Limits(), 8_000, seed) for seed in range(5)]
    assert np.mean(wrong) <= 0.01
    assert max(wrong) > 0  # or nothing was answered
