"""The plan: which caches to deploy where, and what to expect of them."""

from typing import Literal

from pydantic import BaseModel

from cache_models.base_dnn import ModelDescription
from cache_models.learned_cache import Variant
from cache_models.promise import Promise


class HopCost(BaseModel, frozen=True):
    """What a call from one deployment to another adds: `fixed_ms + per_mb_ms * megabytes moved`.

    The defaults were measured on 2 cores with `RAY_SERVE_THROUGHPUT_OPTIMIZED=1`.
    """

    fixed_ms: float = 4.0
    per_mb_ms: float = 3.0

    def ms(self, moved_bytes: int) -> float:
        return self.fixed_ms + self.per_mb_ms * moved_bytes / 1e6


class CutPointRecord(BaseModel):
    """A candidate cut point and what its slice, which ends there, costs by batch size."""

    name: str
    activation_shape: tuple[int, ...]
    activation_bytes: int
    slice_ms: dict[int, float]
    compute_share: float
    """Share of the base DNN's compute that a request has paid here."""


class CacheRecord(BaseModel):
    """A learned cache that is deployed."""

    cut_point: str
    file: str
    variant: Variant
    feature_shape: tuple[int, ...]
    memory_bytes: int
    lookup_ms: float
    agreement: float
    """Of the predictor alone, on the calibration samples."""


class Expected(BaseModel):
    """What the calibration samples would have met."""

    latency_ms: float
    base_latency_ms: float
    """Of the base DNN served whole, in one partition."""
    compute_ms: float
    """Slices and lookups without hops."""
    base_compute_ms: float
    hit_rate: float
    disagreement: float
    exits: dict[str, float]


class Plan(BaseModel):
    """Cut points, caches, threshold, the promise they passed and what to expect."""

    format: Literal[1] = 1
    model: str
    fingerprint: str
    """SHA-256 of the base DNN's weights; a plan serves no other."""
    description: ModelDescription
    candidates: list[CutPointRecord]
    caches: list[CacheRecord]
    promise: Promise
    expected: Expected
    hop: HopCost
    device: str
    threads: int
    data: str

    @property
    def cut_points(self) -> list[str]:
        return [cache.cut_point for cache in self.caches]
