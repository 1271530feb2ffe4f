"""Predictors: small classifiers of the base DNN's answer, in four families of several sizes.

All read the same features: a map `(C, h, w)`, tokens `(T, C)`, or a vector `(n,)`.

- *pool*: pooled further, then linear;
- *fc*: pooled to 4x4, or finer if few channels allow it, flattened, one hidden layer;
- *conv*: one small convolution over the map or along the tokens, then linear; over a map as fine as
  an input's, more of them, each followed by pooling;
- *ngram*: one small convolution along the tokens, of each channel the largest value and the mean
  wherever in the text they are (Kim 2014), then linear.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cache_models.cache.architecture import DROPOUT, Layer, grid_of, is_fine, layers_of
from cache_models.cache.variant import Variant
from cache_models.network.pooling import pool_further
from cache_models.network.recorded import standardisation

VARIANTS = {"pool": (1, 2, 4), "fc": (32, 128), "conv": (8, 32), "ngram": (32, 128)}


def variants_for(feature_shape: tuple[int, ...]) -> list[Variant]:
    """The variants that differ on such features: a vector has nothing to pool or to convolve."""
    if len(feature_shape) == 1:
        return [Variant(family="pool", size=1)] + [
            Variant(family="fc", size=size) for size in VARIANTS["fc"]
        ]
    largest = feature_shape[1] if len(feature_shape) == 3 else feature_shape[0]
    return [
        Variant(family=family, size=size)
        for family, sizes in VARIANTS.items()
        for size in sizes
        if (family != "pool" or size <= largest) and (family != "ngram" or len(feature_shape) == 2)
    ]


class Predictor(nn.Module):
    """Features → scores of the base DNN's classes."""

    def __init__(self, variant: Variant, feature_shape: tuple[int, ...], classes: int):
        super().__init__()
        self.grid = grid_of(variant, feature_shape)
        self.anywhere = variant.family == "ngram"
        shape = self._pool(torch.zeros(1, *feature_shape)).shape[1:]
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.layers = nn.Sequential(*map(_module, layers_of(variant, tuple(shape), classes)))

    def fit_scaling(self, batches: Iterable[Tensor]) -> None:
        """Standardise each value by its mean and deviation over `(B, *feature_shape)` batches; of a
        fine map that is convolved, and of tokens wherever they are, each channel's values together,
        since a filter that is the same everywhere learns less from places that are not alike."""
        pooled = (self._pool(features.float()) for features in batches)
        if self.anywhere:
            mean, scale = standardisation(tokens.flatten(0, 1) for tokens in pooled)
        elif self.grid is None and is_fine(tuple(self.mean.shape)):
            rows = (maps.movedim(1, -1).flatten(0, -2) for maps in pooled)
            mean, scale = (values.view(-1, 1, 1) for values in standardisation(rows))
        else:
            mean, scale = standardisation(pooled)
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, *feature_shape)` float16 or float32 → `(B, K)` scores."""
        return self.layers((self._pool(features.float()) - self.mean) * self.scale)

    @property
    def bias(self) -> Tensor:
        """What is added to each class's score, `(K,)`."""
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        return last.bias

    def _pool(self, features: Tensor) -> Tensor:
        return features if self.grid is None else pool_further(features, self.grid)


def _module(layer: Layer) -> nn.Module:
    one, inputs, outputs = layer.dimensions == 1, layer.inputs, layer.outputs
    match layer.kind:
        case "linear":
            return nn.Linear(inputs, outputs)
        case "conv":
            kind = nn.Conv1d if one else nn.Conv2d
            return kind(inputs, outputs, layer.kernel, layer.stride, layer.padding)
        case "norm":
            return nn.BatchNorm2d(outputs)
        case "relu":
            return nn.ReLU()
        case "pool":
            return nn.MaxPool2d(2)
        case "transpose":
            return _Transpose()
        case "overall":
            return _Overall()
        case "flatten":
            return nn.Flatten()
        case "dropout":
            return nn.Dropout(DROPOUT)


class _Transpose(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.transpose(1, 2)


class _Overall(nn.Module):
    def forward(self, channels: Tensor) -> Tensor:
        return torch.cat([channels.amax(2), channels.mean(2)], dim=1)
