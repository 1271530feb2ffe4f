"""The composition is the cheapest subset, counted request by request."""

from itertools import combinations

import numpy as np
import pytest

from cache_models.composition import Outcome, compose
from cache_models.plan import CutPointRecord, HopCost
from cache_models.promise import PATH, Limits

LIMITS = Limits(max_disagreement=0.05, max_class_disagreement=0.9, max_caches=3)


def candidates(seed: int) -> tuple[list[Outcome], np.ndarray]:
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 3, 400)
    difficulty = rng.random(400)
    made = []
    for i, share in enumerate(np.sort(rng.random(5))):
        confidence = np.clip(share + 1.2 - difficulty + rng.normal(0, 0.2, 400), 0, 1)
        wrong = rng.random(400) > 0.8 + 0.2 * confidence
        point = CutPointRecord(
            name=f"layer{i}",
            activation_shape=(8,),
            activation_bytes=int(rng.integers(1e3, 1e6)),
            slice_ms={1: 1.0},
            compute_share=float(share),
        )
        predictions = np.where(wrong, (answers + 1) % 3, answers)
        made.append(Outcome(point, predictions, confidence, float(rng.random()), 16_000))
    return made, answers


def walk(subset, answers, threshold, base_ms, hop) -> tuple[float, int]:
    """What each request pays and answers, one at a time."""
    total, wrong = 0.0, 0
    for n in range(len(answers)):
        share, carried = 0.0, 784
        for o in subset:
            total += (o.cut_point.compute_share - share) * base_ms + o.lookup_ms
            total += hop.fixed_ms * 2
            moved = carried + o.cut_point.activation_bytes + 2 * o.feature_bytes + 12
            total += hop.per_mb_ms * moved / 1e6
            share, carried = o.cut_point.compute_share, o.cut_point.activation_bytes
            if o.confidences[n] >= threshold:
                wrong += o.predictions[n] != answers[n]
                break
        else:
            total += (1 - share) * base_ms + hop.fixed_ms + hop.per_mb_ms * (carried + 12) / 1e6
    return total / len(answers), wrong


@pytest.mark.parametrize("seed", range(4))
def test_composition_is_the_optimum_of_brute_force(seed):
    outcomes, answers = candidates(seed)
    hop = HopCost(fixed_ms=1.0, per_mb_ms=2.0)
    allowed = next(k for k in range(100) if _p_value(k + 1, len(answers)) > 0.05)
    best, best_ms = [], walk([], answers, 1.0, 40.0, hop)[0]
    for count in (1, 2, 3):
        for subset in combinations(outcomes, count):
            expected = None
            for threshold in PATH:
                ms, wrong = walk(subset, answers, threshold, 40.0, hop)
                if wrong > allowed:
                    break
                expected = ms
            if expected is not None and expected < best_ms - 1e-9:
                best, best_ms = list(subset), expected
    chosen = compose(outcomes, answers, 3, 40.0, 784, LIMITS, hop)
    assert [o.cut_point.name for o in chosen] == [o.cut_point.name for o in best]


def _p_value(k: int, n: int) -> float:
    from math import comb

    return sum(comb(n, i) * 0.05**i * 0.95 ** (n - i) for i in range(k + 1))
