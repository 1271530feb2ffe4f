"""Intervals of ratios cover the truth about as often as they say."""

import numpy as np
import pytest

from workload.run.ratios import Ratio, of_blocks, of_pairs, of_turns


def drift(rng: np.random.Generator, n: int) -> np.ndarray:
    """A machine whose speed wanders by a half, slowly."""
    return np.exp(0.05 * rng.standard_normal(n).cumsum())


def measured(measure, simulate, repetitions: int) -> list[Ratio]:
    rng = np.random.default_rng(0)
    return [measure(*simulate(rng)) for _ in range(repetitions)]


def covered(ratios: list[Ratio], true: float) -> float:
    """Share of the intervals that hold the true ratio."""
    return float(np.mean([ratio.low <= true <= ratio.high for ratio in ratios]))


def test_pairs_under_drift_hold_the_true_ratio():
    def simulate(rng):
        speed = drift(rng, 200)
        reference = 40 * speed * rng.lognormal(0, 0.2, 200)
        hit = rng.random(200) < 0.8
        other = np.where(hit, 8, 50) * speed * rng.lognormal(0, 0.2, 200)
        return reference, other

    true = 40 / (0.8 * 8 + 0.2 * 50)
    ratios = measured(of_pairs, simulate, 150)
    assert 0.89 <= covered(ratios, true) <= 0.995  # of 150, 95 % within three deviations
    assert covered(ratios, 1.15 * true) < 0.7  # the test could fail


def test_turns_whose_requests_resemble_one_another_hold_the_true_ratio():
    def simulate(rng):
        speed = np.repeat(rng.lognormal(0, 0.4, 40), 10)  # of this contender, in this turn
        return np.full(400, 30.0), 10 * speed

    true = 3 / np.exp(0.4**2 / 2)
    in_turns = measured(lambda *pair: of_turns(*pair, 10), simulate, 150)
    assert 0.88 <= covered(in_turns, true) <= 0.995
    each_for_itself = measured(of_pairs, simulate, 50)  # were it so, these would do
    assert covered(each_for_itself, true) < 0.7


def test_unpaired_resampling_would_be_wider():
    rng = np.random.default_rng(1)
    speed = drift(rng, 300)
    reference, other = 40 * speed, 20 * speed * rng.lognormal(0, 0.05, 300)
    paired = of_pairs(reference, other)
    torn = of_pairs(reference, rng.permutation(other))
    assert paired.high - paired.low < 0.5 * (torn.high - torn.low)


@pytest.mark.parametrize("blocks", [3, 5, 12])
def test_few_blocks_hold_the_true_ratio(blocks):
    def simulate(rng):
        speed = rng.lognormal(0, 0.3, blocks)
        reference = 60 * speed * rng.lognormal(0, 0.1, blocks)
        other = 20 * speed * rng.lognormal(0, 0.1, blocks)
        return reference, other

    assert covered(measured(of_blocks, simulate, 150), 3.0) >= 0.88


def test_failed_requests_do_not_count():
    reference = np.full(50, 30.0)
    other = np.full(50, 10.0)
    other[:20] = np.nan
    ratio = of_pairs(reference, other)
    assert (ratio.n, ratio.value) == (30, pytest.approx(3.0))
    assert of_pairs(reference, np.full(50, np.nan)) is None
    assert of_blocks(np.array([3.0]), np.array([1.0])).low is None
