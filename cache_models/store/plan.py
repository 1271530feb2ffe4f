"""The plan: which caches to deploy where, and what to expect of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from cache_models.cache.recall import ENTRIES
from cache_models.cache.stream_memory import StreamLimits
from cache_models.cache.variant import Variant
from cache_models.errors import ArtifactError
from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import DType
from cache_models.network.stages import INPUT, Stage
from cache_models.promise.promise import Promise

if TYPE_CHECKING:
    from cache_models.network.base_dnn import BaseDNN


class HopCost(BaseModel, frozen=True):
    """What a call from one deployment to another adds: `fixed_ms + per_mb_ms * megabytes moved`.

    The defaults were measured on 2 cores of one node, by lane; by handle a call costs three times
    as much, and between nodes a megabyte 1.5 ms more.
    """

    fixed_ms: float = Field(0.7, ge=0)
    per_mb_ms: float = Field(0.1, ge=0)

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

    @property
    def stake(self) -> float:
        """Share of the base DNN's compute that a hit here saves; above 0."""
        return 1.0 if self.name == INPUT else max(1e-3, 1 - self.compute_share)


class MemoryRecord(BaseModel):
    """A cache's memory of streams."""

    stream_bytes: int
    """Of the entries of one stream."""
    alone: bool
    """Whether the cache also answers requests that name no stream, and streams of which it knows
    nothing: it has kept the promise without its memory."""
    kept: int = ENTRIES
    """Entries of a stream, at most; more than those that speak where all requests share one
    memory."""

    @property
    def most_bytes(self) -> int:
        """Of all streams that a lookup remembers by default; many entries are one memory of all."""
        return self.stream_bytes * (1 if self.kept > ENTRIES else StreamLimits().max_streams)


class CacheRecord(BaseModel):
    """A learned cache that is deployed."""

    cut_point: str
    file: str
    variant: Variant
    feature_shape: tuple[int, ...]
    memory_bytes: int
    lookup_ms: float
    agreement: float
    """Of the predictor alone, on the selection samples."""
    memory: MemoryRecord | None = None
    """Of streams; None where it has none."""


class Expected(BaseModel):
    """What the calibration samples would have met."""

    latency_ms: float
    base_latency_ms: float
    """Of the base DNN served whole, in one partition."""
    compute_ms: float
    """Slices and lookups without hops."""
    base_compute_ms: float
    oracle_compute_ms: float
    """Slices alone, leaving at the first candidate whose best predictor would have been right."""
    hit_rate: float
    disagreement: float
    hit_calibration_error: float
    """Expected calibration error of the probabilities that hits are answered with."""
    exits: dict[str, float]


class Plan(BaseModel):
    """Cut points, caches, threshold, the promise they passed and what to expect."""

    format: Literal[3] = 3
    model: str
    fingerprint: str
    """SHA-256 of the base DNN's weights; a plan serves no other."""
    description: ModelDescription
    candidates: list[CutPointRecord]
    class_shares: tuple[float, ...]
    """Of the base DNN's answers among the samples that the predictors learned on."""
    caches: list[CacheRecord]
    alternatives: list[CacheRecord] = []
    """Kept with a build, one a candidate: another class mix may want others than `caches`."""
    promise: Promise
    expected: Expected
    hop: HopCost
    device: str
    dtype: DType = "float32"
    """In which partitions compute, as the promise was tested."""
    threads: int
    data: str
    train_data: str | None = None
    """More, on which predictors were trained and nothing else was done."""
    copies: int = 0
    """Altered ones of every sample that trained, for predictors, too."""
    notes: list[str] = []
    """What the operator should know of how it came about."""

    def check_base(self, base: BaseDNN) -> None:
        """
        Raises:
            ArtifactError: `base` does not have the weights that the caches were built for.
        """
        if base.fingerprint() != self.fingerprint:
            raise ArtifactError(
                f"the caches were built for other weights than {self.model} has now: build them "
                f"again with `python -m cache_models build --model {self.model}`."
            )

    @property
    def cut_points(self) -> list[str]:
        return [cache.cut_point for cache in self.caches]

    @property
    def remembers(self) -> bool:
        """Whether a cache has a memory of streams."""
        return any(cache.memory is not None for cache in self.caches)

    @property
    def answers_strangers(self) -> bool:
        """Whether a cache also answers what comes without a past."""
        memories = (cache.memory for cache in self.caches)
        return any(memory is None or memory.alone for memory in memories)

    @property
    def shares(self) -> bool:
        """Whether a cache has one memory of all requests, whoever sent them."""
        memories = (cache.memory for cache in self.caches)
        return any(memory is not None and memory.kept > ENTRIES for memory in memories)

    def stages(self) -> tuple[Stage, ...]:
        """What a request walks through, in execution order: a lookup at every cut point, and a
        partition for every slice that has anything to run."""
        shapes = {point.name: point.activation_shape for point in self.candidates}
        stages: list[Stage] = []
        partitions, start, takes = 0, INPUT, self.description.input_shape
        for i, cache in enumerate([*self.caches, None]):
            end = None if cache is None else cache.cut_point
            features = None if cache is None else cache.feature_shape
            if end != INPUT:
                activation = None if end is None else shapes[end]
                stages.append(
                    Stage("partition", partitions, i, start, end, takes, features, activation)
                )
                partitions += 1
            if end is not None:
                remembers = cache is not None and cache.memory is not None
                stages.append(
                    Stage("lookup", i, i, end, end, features=features, remembers=remembers)
                )
                start, takes = end, takes if end == INPUT else shapes[end]
        return tuple(stages)
