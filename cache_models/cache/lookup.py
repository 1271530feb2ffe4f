"""What a lookup computes, wherever it runs: a learned cache, from question to verdict."""

import numpy as np

from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import Engine
from cache_models.network.features import input_features
from cache_models.network.stages import Stage, Verdict


class CacheLookup:
    """One version's learned cache at one cut point.

    Args:
        stage: the lookup.
        engine: of the cache, as `cache.graph` describes what it takes and returns.
        threshold: of the confidence; None for caches that never hit.
    """

    def __init__(
        self,
        stage: Stage,
        description: ModelDescription,
        engine: Engine,
        threshold: float | None,
    ):
        self._stage, self._description, self._engine = stage, description, engine
        self._threshold = np.inf if threshold is None else threshold

    def __call__(
        self,
        batch: np.ndarray,
        threshold: float | None = None,
        resized: bool = False,
    ) -> Verdict:
        """Arguments as of `LookUp`."""
        features = batch
        if self._stage.at_input:
            features = input_features(self._description, batch, resized)
        probabilities, confidences = self._engine(features)
        hits = confidences >= (self._threshold if threshold is None else threshold)
        return Verdict(hits, probabilities.argmax(1), probabilities, confidences)

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
