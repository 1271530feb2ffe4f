"""Pooling of activations in PyTorch: to features, and of features to what a cache reads of them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from cache_models.network.activation import LARGEST
from cache_models.network.features import feature_shape

SMALLEST_SHARE = 1e-4
"""Of tokens that are there, below any that one token makes."""


def extract(activation: Tensor, with_mask: bool = False) -> Tensor:
    """`(B, *activation_shape)` → `(B, *feature_shape(activation_shape))` float16.

    A map is pooled adaptively to a smaller map. Of tokens the first is kept, since it may be a
    class token, and the others are pooled in order. A vector stays as it is. Values beyond what
    fp16 can hold are clamped.

    Args:
        with_mask: whether the last channel of tokens says which there are. The others, which are
            padding, are left out: means are of those that are there. What is left of that channel
            is the share of them. Where there are none, their mean is that of all that are there, so
            that however far features are pooled further, a short text is not faint.
    """
    if with_mask:
        there = activation[..., -1:]
        tokens = activation[..., :-1] * there
        whole = tokens.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        pooled = _pooled(torch.cat([tokens, there], dim=2)).float()
        share = pooled[..., -1:]
        means = pooled[..., :-1] / share.clamp(min=SMALLEST_SHARE)
        means = torch.where(share < SMALLEST_SHARE, whole, means)
        return _packed(torch.cat([means, share], dim=2))
    return _packed(_pooled(activation))


def _packed(features: Tensor) -> Tensor:
    return features.clamp(-LARGEST, LARGEST).to(torch.float16)


def _pooled(activation: Tensor) -> Tensor:
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
    return pooled


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
