"""What a lookup computes, wherever it runs: a learned cache, from question to verdict."""

import numpy as np
import torch

from cache_models.cache.fast_cache import FastCache, InputFeatures
from cache_models.cache.learned_cache import LearnedCache
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import as_tensor
from cache_models.network.stages import Stage, Verdict


class CacheLookup:
    """One version's learned cache at one cut point.

    Args:
        stage: the lookup.
        threshold: of the probability of agreement; None for caches that never hit.
    """

    def __init__(
        self,
        stage: Stage,
        description: ModelDescription,
        cache: LearnedCache,
        threshold: float | None,
        device: torch.device,
    ):
        self._stage, self._description, self._device = stage, description, device
        self._cache = FastCache(cache, device)
        self._threshold = np.inf if threshold is None else threshold
        self._input_features = InputFeatures(description, device) if stage.at_input else None

    @torch.inference_mode()
    def __call__(
        self,
        batch: np.ndarray,
        log_ratio: np.ndarray | None = None,
        threshold: float | None = None,
        resized: bool = False,
    ) -> Verdict:
        """Arguments as of `LookUp`."""
        if self._input_features is not None:
            features = self._input_features(as_tensor(batch), resized)
        else:
            features = torch.tensor(batch, device=self._device)
        probabilities, confidence = self._cache(features, log_ratio)
        hits = confidence >= (self._threshold if threshold is None else threshold)
        return Verdict(hits, probabilities.argmax(1), probabilities)

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
