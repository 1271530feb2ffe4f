"""Features: the small pooled form of an activation that every cache variant reads."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

MAX_VALUES = 8192
"""16 KB in fp16."""
MAX_SIDE = 32
"""Of a map: finer ones, which only inputs have, are slow to look at and tell little more."""
GRIDS = (32, 16, 8, 4, 3, 2)
READ_BATCH = 500


def feature_shape(activation_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape, without the batch, of the features of an activation.

    >>> feature_shape((64, 56, 56)), feature_shape((197, 768)), feature_shape((512,))
    ((64, 11, 11), (10, 768), (512,))
    """
    match activation_shape:
        case (channels, height, width) if channels <= MAX_VALUES:
            side = min(MAX_SIDE, math.isqrt(MAX_VALUES // channels))
            return (channels, min(side, height), min(side, width))
        case (tokens, channels) if channels <= MAX_VALUES:
            return (min(tokens, MAX_VALUES // channels), channels)
    return (min(math.prod(activation_shape), MAX_VALUES),)


def extract(activation: Tensor) -> Tensor:
    """`(B, *activation_shape)` → `(B, *feature_shape(activation_shape))` float16.

    A map is pooled adaptively to a smaller map. Of tokens the first is kept, since it may be a
    class token, and the others are pooled in order. A vector stays as it is. Values beyond what
    fp16 can hold are clamped.
    """
    shape = feature_shape(tuple(activation.shape[1:]))
    match shape:
        case (_, height, width):
            pooled = F.adaptive_avg_pool2d(activation, (height, width))
        case (tokens, _) if tokens < activation.shape[1] and tokens > 1:
            rest = F.adaptive_avg_pool1d(activation[:, 1:].transpose(1, 2), tokens - 1)
            pooled = torch.cat([activation[:, :1], rest.transpose(1, 2)], dim=1)
        case (tokens, _):
            pooled = activation[:, :tokens]
        case (length,):
            flat = activation.flatten(1)
            pooled = flat if flat.shape[1] == length else F.adaptive_avg_pool1d(flat, length)
    limit = torch.finfo(torch.float16).max
    return pooled.clamp(-limit, limit).to(torch.float16)


def pool_further(features: Tensor, grid: int) -> Tensor:
    """Features pooled to at most `grid` x `grid`; of tokens the first, and `grid` of the others.

    Args:
        features: `(B, *feature_shape)` float32; a vector stays as it is.
    """
    if features.dim() == 2:
        return features
    if features.dim() == 4:
        height, width = features.shape[-2:]
        return F.adaptive_avg_pool2d(features, (min(grid, height), min(grid, width)))
    first, rest = features[:, :1], features[:, 1:]
    if rest.shape[1] > grid:
        rest = F.adaptive_avg_pool1d(rest.transpose(1, 2), grid).transpose(1, 2)
    return torch.cat([first, rest], dim=1)


def finest_grid(feature_shape: tuple[int, ...], max_values: int) -> int:
    """The finest grid of `pool_further` that leaves at most `max_values`; 1 if none does."""
    match feature_shape:
        case (channels, height, width):
            sizes = {g: channels * min(g, height) * min(g, width) for g in GRIDS}
        case (_, channels):
            sizes = {g: channels * (g + 1) for g in GRIDS}
        case _:
            sizes = {}
    return next((g for g, values in sizes.items() if values <= max_values), 1)


def rows_in_batches(features: np.ndarray, rows: np.ndarray) -> Iterator[Tensor]:
    """Some samples of recorded features, in order, a part at a time, so that memory is bounded."""
    for start in range(0, len(rows), READ_BATCH):
        yield torch.from_numpy(features[rows[start : start + READ_BATCH]])


def is_constant(features: np.ndarray) -> bool:
    """Whether all recorded samples have the same features."""
    return all(
        bool((batch == torch.from_numpy(features[:1])).all())
        for batch in rows_in_batches(features, np.arange(len(features)))
    )


def standardisation(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean of each value over `(B, ...)` float32 batches, and the inverse of its deviation.

    A value that hardly varies is not blown up: a hundredth of the mean deviation is added.
    """
    count, total, squares = 0, 0.0, 0.0
    for batch in batches:
        count += len(batch)
        total = total + batch.double().sum(0)
        squares = squares + batch.double().square().sum(0)
    mean = total / count
    variance = (squares / count - mean**2).clamp(min=0)
    return mean.float(), (1 / (variance.sqrt() + 1e-2 * variance.mean().sqrt() + 1e-6)).float()
