"""What requests pay: the slices up to their exit, the lookups on their way, and the hops."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cache_models.network.stages import INPUT
from cache_models.store.plan import CacheRecord, CutPointRecord, HopCost, Plan


@dataclass(frozen=True)
class Outcome:
    """What one cache at one candidate says of N samples, and what asking it costs; labels and
    confidences are `(N,)`, or of a cache with a memory `(J, N)`, as of `promise.on_path`."""

    cut_point: CutPointRecord
    predictions: np.ndarray
    confidences: np.ndarray
    lookup_ms: float
    feature_bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class Pricing:
    """What the base DNN and the way to it cost one request.

    Attributes:
        base_ms: of the whole base DNN at batch 1.
        input_bytes, output_bytes: of one request's input and of its class probabilities.
    """

    base_ms: float
    input_bytes: int
    output_bytes: int
    hop: HopCost

    def lookup_ms(self, before: CutPointRecord | None, cache: Outcome) -> float:
        """From one cache's miss (or the input) to the next cache's verdict. A cache at the input
        waits for no partition, so that it costs one hop, not two."""
        if cache.cut_point.name == INPUT:
            return cache.lookup_ms + self.hop.ms(self.input_bytes + self.output_bytes)
        share, moved = self._at(before)
        slice_ms = (cache.cut_point.compute_share - share) * self.base_ms
        moved += cache.cut_point.activation_bytes + cache.feature_bytes
        hops_ms = self.hop.ms(moved) + self.hop.ms(cache.feature_bytes + self.output_bytes)
        return slice_ms + cache.lookup_ms + hops_ms

    def rest_ms(self, before: CutPointRecord | None) -> float:
        """From the last cache's miss (or the input) to the base DNN's end."""
        share, moved = self._at(before)
        return (1 - share) * self.base_ms + self.hop.ms(moved + self.output_bytes)

    def _at(self, point: CutPointRecord | None) -> tuple[float, int]:
        """Share of the compute done, and bytes to carry on, at a cut point or at the input."""
        return (point.compute_share, point.activation_bytes) if point else (0.0, self.input_bytes)


def pricing_of(plan: Plan) -> Pricing:
    """The prices that a plan was made with."""
    inputs = next((p.activation_bytes for p in plan.candidates if p.name == INPUT), 0)
    outputs = 4 * len(plan.description.classes)
    return Pricing(plan.expected.base_compute_ms, inputs, outputs, plan.hop)


def outcome_of(
    plan: Plan, cache: CacheRecord, predictions: np.ndarray, confidences: np.ndarray
) -> Outcome:
    """What `cache`, of a plan or its alternatives, says of N samples."""
    return Outcome(
        next(point for point in plan.candidates if point.name == cache.cut_point),
        predictions,
        confidences,
        cache.lookup_ms,
        2 * int(np.prod(cache.feature_shape)),
        cache.memory_bytes,
    )


def latency_ms_by_exit(caches: Sequence[Outcome], pricing: Pricing) -> np.ndarray:
    """What a request that exits at each cache, or at the base DNN's end, has paid."""
    steps = []
    before = None
    for cache in caches:
        steps.append(pricing.lookup_ms(before, cache))
        before = cache.cut_point
    return np.cumsum([*steps, pricing.rest_ms(before)])


def compute_ms_by_exit(
    compute_shares: Sequence[float], lookups_ms: Sequence[float], base_ms: float
) -> np.ndarray:
    """The same without hops: slices and lookups.

    Args:
        compute_shares, lookups_ms: of the caches, in execution order.
    """
    return np.array([*compute_shares, 1.0]) * base_ms + np.cumsum([*lookups_ms, 0.0])
