"""Features: the small pooled form of an activation that every cache variant reads.

Those of a hidden layer are made beside it, by `network.pooling`; those of the input here, for who
learns from inputs and who serves them, so that both see the same.
"""

import math
from functools import lru_cache

import numpy as np

from cache_models.network.activation import pack
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing

MAX_VALUES = 8192
"""16 KB in fp16."""
MAX_SIDE = 32
"""Of a map: finer ones, which only inputs have, are slow to look at and tell little more."""
KIND = 2
"""Another number, where features of the same samples are made in another way."""
GRIDS = (32, 16, 8, 4, 3, 2)


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


def input_features(
    description: ModelDescription, given: np.ndarray, resized: bool = False
) -> np.ndarray:
    """Of what requests bring, `(B, *feature_shape(input_shape))` float16.

    Pixels are pooled before they are scaled, since few are left then, and those of a grey image
    once for all channels. To resize and to pool are both products with a matrix for each side of a
    picture, so they are one; features differ from those of a resized picture by its rounding, about
    a level of 255 at most. Where resizing is no such product, it comes first.

    Args:
        given: decoded images `(B, h, w, 1 or C)` uint8, or inputs `(B, *input_shape)` float32.
        resized: whether images have the size of `input_shape` already.
    """
    preprocessing = description.preprocessing
    if given.dtype != np.uint8 or preprocessing is None:
        return pack(_pooled(given.astype(np.float32, copy=False)), "float16")
    _, *pooled_size = feature_shape(description.input_shape)
    height, width, channels = given.shape[1:]
    sides = None if resized else _sides(preprocessing, (height, width), tuple(pooled_size))
    if sides is None:
        images = given if resized else preprocessing.resize(given)
        pooled = _mean(_mean(images, 1, pooled_size[0]), 2, pooled_size[1]).transpose(0, 3, 1, 2)
    else:
        rows, columns = sides
        of_rows = rows @ given.reshape(len(given), height, width * channels).astype(np.float32)
        planes = of_rows.reshape(len(given), len(rows), width, channels).transpose(0, 3, 1, 2)
        pooled = planes @ columns.T
    return pack(preprocessing.scaled(pooled), "float16")


@lru_cache(maxsize=1024)
def _sides(
    preprocessing: Preprocessing, size: tuple[int, int], pooled_size: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Matrices from the rows, and from the columns, of pictures of a size to those of their
    features."""
    matrices = preprocessing.matrices(*size)
    if matrices is None:
        return None
    rows, columns = (_mean(side, 0, n) for side, n in zip(matrices, pooled_size, strict=True))
    return rows, columns


def _pooled(inputs: np.ndarray) -> np.ndarray:
    """As `network.pooling.extract` pools activations."""
    shape = feature_shape(inputs.shape[1:])
    match shape:
        case (_, height, width):
            return _mean(_mean(inputs, 2, height), 3, width)
        case (tokens, _) if 1 < tokens < inputs.shape[1]:
            return np.concatenate([inputs[:, :1], _mean(inputs[:, 1:], 1, tokens - 1)], axis=1)
        case (tokens, _):
            return inputs[:, :tokens]
    return _mean(inputs.reshape(len(inputs), -1), 1, *shape)


def _mean(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Means of `size` windows along an axis, as adaptive pooling has them, float32."""
    length = values.shape[axis]
    if length == size:
        return values.astype(np.float32, copy=False)
    if length % size == 0:
        return _mean_of_even_windows(values, axis, size)
    steps = np.arange(size + 1) * length
    starts, ends = steps[:-1] // size, -(-steps[1:] // size)
    before = np.zeros_like(values.take([0], axis), np.float64)
    sums = np.concatenate([before, values.cumsum(axis, dtype=np.float64)], axis)
    counts = (ends - starts).reshape(-1, *(1,) * (values.ndim - axis - 1))
    return ((sums.take(ends, axis) - sums.take(starts, axis)) / counts).astype(np.float32)


def _mean_of_even_windows(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    """The same, where all windows are alike: an addition of whole arrays for each place in them,
    several times as quick as numpy's reduction over a short axis."""
    width = values.shape[axis] // size
    shape = (*values.shape[:axis], size, width, *values.shape[axis + 1 :])
    first, *others = np.moveaxis(values.reshape(shape), axis + 1, 0)
    whole = values.dtype == np.uint8 and width * 255 < 2**16
    total = first.astype(np.uint16 if whole else np.float32)
    for other in others:
        total += other
    return total.astype(np.float32, copy=False) / np.float32(width)
