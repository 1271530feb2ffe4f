"""Features: the small pooled form of an activation that every cache variant reads."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_VALUES = 8192
"""16 KB in fp16."""


def feature_shape(activation_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape, without the batch, of the features of an activation.

    >>> feature_shape((64, 56, 56)), feature_shape((197, 768)), feature_shape((512,))
    ((64, 11, 11), (10, 768), (512,))
    """
    match activation_shape:
        case (channels, height, width) if channels <= MAX_VALUES:
            side = math.isqrt(MAX_VALUES // channels)
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
