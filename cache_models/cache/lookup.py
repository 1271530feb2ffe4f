"""What a lookup computes, wherever it runs: a learned cache, from question to verdict."""

from typing import NamedTuple

import numpy as np

from cache_models.cache.recall import Entries, Memory, Recall
from cache_models.cache.stream_memory import StreamLimits, StreamMemory
from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import Engine
from cache_models.network.features import input_features
from cache_models.network.stages import Remember, Remembered, Stage, Verdict


class Past(NamedTuple):
    """Of a learned cache with a memory of streams.

    Attributes:
        alone, kept: as of `MemoryRecord`.
        limits: of this replica's memory.
    """

    recall: Recall
    alone: bool
    kept: int
    limits: StreamLimits


class CacheLookup:
    """One version's learned cache at one cut point, and what it remembers of streams.

    Args:
        stage: the lookup.
        engine: of the cache, as `cache.graph` describes what it takes and returns.
        threshold: of the confidence; None for caches that never hit.
        past: None for a cache without a memory.
    """

    def __init__(
        self,
        stage: Stage,
        description: ModelDescription,
        engine: Engine,
        threshold: float | None,
        past: Past | None = None,
    ):
        self._stage, self._description, self._engine = stage, description, engine
        self._threshold = np.inf if threshold is None else threshold
        self._past, self._memory = past, None
        if past is not None:
            directions = self._engine(self._features(self.zeros(1)))[2].shape[1]
            self._memory = StreamMemory(directions, past.limits, kept=past.kept)

    @property
    def streams(self) -> int:
        """That are remembered."""
        return 0 if self._memory is None else len(self._memory)

    @property
    def stream_bytes(self) -> int:
        """Of what is remembered."""
        return 0 if self._memory is None else self._memory.bytes

    def __call__(
        self,
        batch: np.ndarray,
        threshold: float | None = None,
        resized: bool = False,
        stream: str = "",
        at: float = 0.0,
    ) -> Verdict:
        """Arguments as of `LookUp`."""
        probabilities, confidences, *more = self._engine(self._features(batch, resized))
        vectors = None
        if self._past is not None and self._memory is not None:
            entries = self._memory.entries(stream) if stream else None
            vectors = more[0] if stream else None
            familiar = confidences > 0
            if not self._past.alone:
                confidences = np.zeros_like(confidences)
            if entries is not None:
                probabilities, confidences = self._recalled(
                    probabilities, confidences, familiar, more[0], entries, at
                )
        hits = confidences >= (self._threshold if threshold is None else threshold)
        return Verdict(hits, probabilities.argmax(1), probabilities, confidences, vectors)

    def remember(self, message: Remember) -> Remembered:
        """What the base DNN answered to requests of a stream."""
        if self._memory is not None:
            self._memory.put(message.stream, message.batch, message.class_ids, message.at)
        return Remembered()

    def forget(self) -> None:
        """All streams."""
        if self._memory is not None:
            self._memory.forget()

    def zeros(self, rows: int) -> np.ndarray:
        """Something to look up, of the shape that requests have."""
        if not self._stage.at_input:
            assert self._stage.features is not None
            return np.zeros((rows, *self._stage.features), np.float16)
        preprocessing = self._description.preprocessing
        if preprocessing is None:
            return np.zeros((rows, *self._description.input_shape), np.float32)
        height, width = preprocessing.crop_size
        channels = len(preprocessing.mean)
        return np.zeros((rows, height // 2, width // 2, channels), np.uint8)

    def _features(self, batch: np.ndarray, resized: bool = False) -> np.ndarray:
        if not self._stage.at_input:
            return batch
        return input_features(self._description, batch, resized)

    def _recalled(
        self,
        probabilities: np.ndarray,
        confidences: np.ndarray,
        familiar: np.ndarray,
        vectors: np.ndarray,
        memory: Memory,
        at: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and confidences with the entries of a stream; what is novel to the cache
        stays so, unless an entry is as good as the same."""
        assert self._past is not None
        with np.errstate(divide="ignore"):
            log_p = np.log(probabilities)
        near = [memory.near(vector) for vector in vectors]
        mine = Entries(*(np.concatenate(parts) for parts in zip(*near, strict=True)))
        recalled = self._past.recall.recalled(log_p, vectors, mine, at)
        known = self._past.recall.may_say(recalled, familiar)
        sure = self._past.recall.confidence(recalled).astype(np.float32)
        with_past = np.exp(recalled.log_q).astype(np.float32)
        return (
            np.where(recalled.any[:, None], with_past, probabilities),
            np.where(recalled.any, np.where(known, sure, 0), confidences).astype(np.float32),
        )
