"""Few samples of a block stay, and speak for the others."""

import numpy as np

from cache_models.follow.crowding import without_one


def test_those_that_stay_take_over_the_weight_exactly_and_fairly():
    """Samples of weights 1 to 8, one after the other; half of them are of another class."""
    weights = [1.0, 8.0, 2.0, 4.0, 1.0, 3.0, 6.0, 5.0]
    rng = np.random.default_rng(0)
    of_each = np.zeros(len(weights))
    for _ in range(4000):
        kept = []
        for sample, weight in enumerate(weights):
            kept.append((weight, sample))
            if len(kept) > 3:
                kept = without_one(kept, rng)
        assert np.isclose(sum(weight for weight, _ in kept), sum(weights))
        for weight, sample in kept:
            of_each[sample] += weight / 4000
    # each is heavy 10 to 15 at times; so this is three standard errors
    assert np.abs(of_each - weights).max() < 3 * np.sqrt(8 * 12 / 4000)
