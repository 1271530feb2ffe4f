"""The composition is the cheapest subset, counted request by request."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom

from cache_models.build.composition import compose
from cache_models.build.pricing import Outcome, Pricing
from cache_models.promise.promise import PATH, Limits
from cache_models.store.plan import CutPointRecord, HopCost

LIMITS = Limits(max_disagreement=0.05, max_class_disagreement=0.07, max_caches=3)


def candidates(seed: int) -> tuple[list[Outcome], np.ndarray]:
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 3, 400)
    difficulty = rng.random(400)
    made = []
    for i, share in enumerate([0.0, *np.sort(rng.random(3))]):
        point = CutPointRecord(
            name=f"layer{i}" if i else "input",
            activation_shape=(8,),
            activation_bytes=int(rng.integers(1e3, 1e6)) if i else 784,
            slice_ms={1: 1.0},
            compute_share=float(share),
        )
        for _ in range(2):
            confidence = np.clip(0.2 + share + 1.0 - difficulty + rng.normal(0, 0.2, 400), 0, 1)
            wrong = rng.random(400) > 0.8 + 0.2 * confidence
            predictions = np.where(wrong, (answers + 1) % 3, answers)
            memory = int(rng.integers(1e3, 1e6))
            made.append(
                Outcome(point, predictions, confidence, float(rng.random()), 16_000, memory)
            )
    return made, answers


def walk(subset, answers, threshold, base_ms, hop) -> tuple[np.ndarray, np.ndarray]:
    """What requests pay, one at a time, and which answers are wrong."""
    paid, wrong = np.zeros(len(answers)), np.zeros(len(answers), bool)
    for n in range(len(answers)):
        total, share, carried = 0.0, 0.0, 784
        for o in subset:
            total += (o.cut_point.compute_share - share) * base_ms + o.lookup_ms
            if o.cut_point.name == "input":  # the router asks the lookup itself
                hops, moved = 1, 784 + 12
            else:
                hops, moved = 2, carried + o.cut_point.activation_bytes + 2 * o.feature_bytes + 12
            total += hop.fixed_ms * hops + hop.per_mb_ms * moved / 1e6
            share, carried = o.cut_point.compute_share, o.cut_point.activation_bytes
            if o.confidences[n] >= threshold:
                wrong[n] = o.predictions[n] != answers[n]
                break
        else:
            total += (1 - share) * base_ms + hop.fixed_ms + hop.per_mb_ms * (carried + 12) / 1e6
        paid[n] = total
    return paid, wrong


HOP = HopCost(fixed_ms=1.0, per_mb_ms=2.0)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_caches": 2},
        {"max_cache_bytes": 700_000},
        {"max_cache_bytes": 100},
        {"max_miss_latency_ms": 47.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_composition_is_the_optimum_of_brute_force(seed, more):
    outcomes, answers = candidates(seed)
    limits = LIMITS.model_copy(update=more)
    whole_ms, kept = walk([], answers, 1.0, 40.0, HOP)[0].mean(), []
    for count in range(1, limits.max_caches + 1):
        for subset in combinations(outcomes, count):
            if len({o.cut_point.name for o in subset}) < count:
                continue
            held = sum(o.memory_bytes for o in subset)
            if limits.max_cache_bytes is not None and held > limits.max_cache_bytes:
                continue
            if limits.max_miss_latency_ms and walk(subset, answers, 2.0, 40.0, HOP)[0][0] > 47:
                continue
            expected = None
            for threshold in PATH:
                ms, wrong = walk(subset, answers, threshold, 40.0, HOP)
                if not keeps_the_promise(wrong, answers):
                    break
                expected = ms
            if expected is not None and expected.mean() < whole_ms:
                kept.append((expected, list(subset)))
    least_ms = min((ms.mean() for ms, _ in kept), default=0.0)
    equal = [(ms, subset) for ms, subset in kept if ms.mean() <= 1.03 * least_ms]
    slowest = [max(ms[answers == k].mean() for k in range(3)) for ms, _ in equal]
    best = equal[int(np.argmin(slowest))][1] if equal else []
    chosen = compose(outcomes, answers, 3, Pricing(40.0, 784, 12, HOP), limits).caches
    assert list(map(id, chosen)) == list(map(id, best))


def test_classes_with_too_few_samples_do_not_limit_the_choice():
    outcomes, answers = candidates(0)
    pricing = Pricing(40.0, 784, 12, HOP)
    unlimited = LIMITS.model_copy(update={"max_class_disagreement": 0.999})
    expected = compose(outcomes, answers, 3, pricing, unlimited)
    chosen = compose(outcomes, answers, 10_000, pricing, LIMITS)
    assert expected.caches
    assert chosen.caches == expected.caches
    assert chosen.latency_ms == expected.latency_ms


def keeps_the_promise(wrong: np.ndarray, answers: np.ndarray) -> bool:
    """The definition, with scipy's binomial distribution."""
    counts = np.bincount(answers, minlength=3)
    wrong_by_class = np.bincount(answers[wrong], minlength=3)
    return (
        binom.cdf(wrong.sum(), len(answers), 0.05) <= 0.05
        and (binom.cdf(wrong_by_class, counts, 0.07) <= 0.05 / 3).all()
    )
