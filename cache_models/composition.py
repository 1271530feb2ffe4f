"""Choose where to put caches: the subset of candidate cut points with the least expected latency.

Every subset of at most `max_caches` candidates is tried on the recorded outcomes of the selection
samples, each at the loosest threshold that keeps the promise on them. A request pays what it would
pay when served: the slices up to its exit, the lookups on its way, and a hop to each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cache_models.plan import CutPointRecord, HopCost
from cache_models.promise import Limits, calibrate, cascade


@dataclass(frozen=True)
class Outcome:
    """What the cache at one candidate says of N samples, and what asking it costs."""

    cut_point: CutPointRecord
    predictions: np.ndarray
    confidences: np.ndarray
    lookup_ms: float
    feature_bytes: int


@dataclass(frozen=True)
class Costs:
    """Milliseconds by exit, the base DNN's last."""

    latency_ms: np.ndarray
    compute_ms: np.ndarray


def costs_by_exit(
    caches: Sequence[Outcome], base_ms: float, input_bytes: int, output_bytes: int, hop: HopCost
) -> Costs:
    """What a request that exits at each cache, or at the base DNN's end, has paid.

    Args:
        base_ms: of the whole base DNN at batch 1.
        input_bytes, output_bytes: of one request's input and of its class probabilities.
    """
    latency, compute = [], []
    spent_ms = hops_ms = share = 0.0
    moved_in = input_bytes
    for cache in caches:
        point = cache.cut_point
        spent_ms += (point.compute_share - share) * base_ms + cache.lookup_ms
        hops_ms += hop.ms(moved_in + point.activation_bytes + cache.feature_bytes)
        hops_ms += hop.ms(cache.feature_bytes + output_bytes)
        share, moved_in = point.compute_share, point.activation_bytes
        compute.append(spent_ms)
        latency.append(spent_ms + hops_ms)
    compute.append(spent_ms + (1 - share) * base_ms)
    latency.append(compute[-1] + hops_ms + hop.ms(moved_in + output_bytes))
    return Costs(np.array(latency), np.array(compute))


def compose(
    outcomes: Sequence[Outcome],
    answers: np.ndarray,
    classes: int,
    base_ms: float,
    input_bytes: int,
    limits: Limits,
    hop: HopCost,
) -> list[Outcome]:
    """The caches to deploy, in execution order; none if none helps.

    Args:
        outcomes: one per candidate, on N selection samples.
        answers: the base DNN's labels of them, `(N,)`.
    """
    output_bytes = 4 * classes
    best: list[Outcome] = []
    best_ms = costs_by_exit([], base_ms, input_bytes, output_bytes, hop).latency_ms[-1]
    for count in range(1, min(limits.max_caches, len(outcomes)) + 1):
        for subset in combinations(outcomes, count):
            predictions = [o.predictions for o in subset]
            confidences = [o.confidences for o in subset]
            threshold = calibrate(predictions, confidences, answers, classes, limits).threshold
            if threshold is None:
                continue
            exits, _ = cascade(predictions, confidences, threshold)
            costs = costs_by_exit(subset, base_ms, input_bytes, output_bytes, hop)
            expected_ms = costs.latency_ms[exits].mean()
            if expected_ms < best_ms:
                best, best_ms = list(subset), expected_ms
    return best
