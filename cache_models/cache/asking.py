"""What a cache says of recorded samples, and how long it takes to ask it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cache_models.cache.closed_loop import Heard
from cache_models.cache.graph import cache_graph
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.recall import ENTRIES
from cache_models.cache.training import scores_of
from cache_models.network.cost import median_ms
from cache_models.network.engine.interface import Engine
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.recorded import rows_in_batches

Asked = Callable[[Tensor], tuple[Tensor, ...]]
"""A learned cache, or what is called as one: features `(B, *feature_shape)` to class probabilities
`(B, K)` and confidences `(B,)`."""


def ask(
    cache: Asked, features: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some samples: labels, confidences, and the labels' own probabilities."""
    said = []
    with torch.inference_mode():
        for batch in rows_in_batches(features, rows):
            probabilities, confidences, *_ = cache(batch)
            top, labels = probabilities.max(1)
            said.append((labels.numpy(), confidences.numpy(), top.numpy()))
    labels, confidences, tops = (np.concatenate(part) for part in zip(*said, strict=True))
    return labels, confidences, tops


def heard(
    cache: LearnedCache,
    features: np.ndarray,
    rows: np.ndarray,
    alone: bool = True,
    kept: int = ENTRIES,
) -> Heard:
    """What a cache says of the samples `rows`, and what it takes to remember them."""
    log_p = scores_of(cache.predictor, features, rows).log_softmax(1).numpy()
    _, confidences, _ = ask(cache, features, rows)
    if cache.recall is None:
        return Heard(log_p, confidences)
    with torch.inference_mode():
        vectors = torch.cat([cache.vectors(batch) for batch in rows_in_batches(features, rows)])
    return Heard(log_p, confidences, vectors.numpy(), cache.recall.recall(), alone, kept)


def served(cache: LearnedCache, threads: int = 1) -> Engine:
    """A cache in the engine in which lookups ask it."""
    weights = {name: value.numpy() for name, value in cache.state_dict().items()}
    graph = cache_graph(cache.variant, cache.feature_shape, cache.classes, weights)
    return OnnxRuntime(graph, threads)


def asking_ms(cache: LearnedCache, rows: int) -> float:
    """Median milliseconds of asking `cache` about so many rows of features, with one thread, as
    lookups are served."""
    engine = served(cache)
    features = np.zeros((rows, *cache.feature_shape), np.float16)
    return median_ms(lambda: engine(features))
