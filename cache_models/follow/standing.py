"""How a version would have done with samples of the traffic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cache_models.build.pricing import (
    compute_ms_by_exit,
    latency_ms_by_exit,
    outcome_of,
    pricing_of,
)
from cache_models.cache.asking import ask
from cache_models.cache.learned_cache import LearnedCache
from cache_models.follow.traffic import Traffic
from cache_models.promise.promise import exits_and_mistakes
from cache_models.promise.units import units
from cache_models.store.plan import Plan

UNLIKELY = 0.05
"""Chance with which so many wrong answers would come of what errs as often as allowed."""

Said = tuple[list[np.ndarray], list[np.ndarray]]
"""Predictions and confidences of each cache, as for `promise.cascade`."""


def ask_all(caches: Sequence[LearnedCache], samples: Traffic, rows: np.ndarray) -> Said:
    """What each says of some samples."""
    said = [ask(cache, at, rows) for cache, at in zip(caches, samples.features, strict=True)]
    return [predictions for predictions, _, _ in said], [confidences for _, confidences, _ in said]


@dataclass(frozen=True)
class Standing:
    """What caches would have done with the window's samples, each weighted by its share."""

    latency_ms: float
    compute_ms: float
    hit_rate: float
    disagreement: float
    exits: list[float]
    """Shares, the base DNN last."""
    agreement: list[float]
    """Of each predictor alone."""


def standing(
    plan: Plan, said: Said, samples: Traffic, rows: np.ndarray, threshold: float | None
) -> Standing:
    """How a plan stands; without a threshold, the base DNN alone.

    Args:
        said: of the samples `rows`.
    """
    answers, caches = samples.answers[rows], len(plan.caches)
    agreement = [float((predictions == answers).mean()) for predictions in said[0]]
    if threshold is None or not len(rows):
        expected = plan.expected
        nowhere = [0.0] * caches + [1.0]
        return Standing(
            expected.base_latency_ms, expected.base_compute_ms, 0.0, 0.0, nowhere, agreement
        )
    latency_ms, compute_ms = latency_and_compute_ms(plan)
    exits, wrong = exits_and_mistakes(*said, answers, threshold)

    def mean(values: np.ndarray) -> float:
        return float(np.average(values, weights=samples.weights[rows]))

    return Standing(
        mean(latency_ms[exits]),
        mean(compute_ms[exits]),
        mean(exits < caches),
        mean(wrong),
        [mean(exits == i) for i in range(caches + 1)],
        agreement,
    )


def errs_too_often(
    caches: Sequence[LearnedCache],
    samples: Traffic,
    rows: np.ndarray,
    threshold: float,
    limit: float,
) -> bool:
    """Whether units of the samples `rows` speak against at most `limit` wrong answers."""
    from scipy.special import bdtrc  # the tail of the binomial distribution

    rows = rows[units(samples.blocks[rows], samples.weights[rows], np.random.default_rng(0))]
    said = ask_all(caches, samples, rows)
    _, wrong = exits_and_mistakes(*said, samples.answers[rows], threshold)
    return bool(bdtrc(wrong.sum() - 1, len(rows), limit) <= UNLIKELY)


def latency_and_compute_ms(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """What a request that exits at each cache, or at the base DNN's end, pays: with hops, and for
    slices and lookups alone."""
    pricing, nothing = pricing_of(plan), np.empty(0)
    outcomes = [outcome_of(plan, cache, nothing, nothing) for cache in plan.caches]
    compute_ms = compute_ms_by_exit(
        [outcome.cut_point.compute_share for outcome in outcomes],
        [cache.lookup_ms for cache in plan.caches],
        pricing.base_ms,
    )
    return latency_ms_by_exit(outcomes, pricing), compute_ms
