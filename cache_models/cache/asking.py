"""What a cache says of recorded samples, and how long it takes to ask it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cache_models.cache.fast_cache import FastCache
from cache_models.cache.learned_cache import LearnedCache
from cache_models.network.cost import median_ms
from cache_models.network.features import rows_in_batches

Asked = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A learned cache, or what is called as one: features `(B, *feature_shape)` to class probabilities
`(B, K)` and confidences `(B,)`."""


def ask(
    cache: Asked, features: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some samples: labels, probabilities of agreement, and the labels' own probabilities."""
    said = []
    with torch.inference_mode():
        for batch in rows_in_batches(features, rows):
            probabilities, confidences = cache(batch)
            top, labels = probabilities.max(1)
            said.append((labels.numpy(), confidences.numpy(), top.numpy()))
    labels, confidences, tops = (np.concatenate(part) for part in zip(*said, strict=True))
    return labels, confidences, tops


def asking_ms(cache: LearnedCache, shape: tuple[int, ...], rows: int) -> float:
    """Median milliseconds of asking `cache` about so many rows of features, with one thread, as
    lookups are served."""
    features = torch.zeros(rows, *shape, dtype=torch.float16)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        served = FastCache(cache)
        return median_ms(lambda: served(features))
    finally:
        torch.set_num_threads(threads)
