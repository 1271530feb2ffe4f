"""Predictors: small classifiers of the base DNN's answer, in three families of several sizes.

All read the same features: a map `(C, h, w)`, tokens `(T, C)`, or a vector `(n,)`.

- *pool*: pooled further, then linear;
- *fc*: pooled to 4x4, or finer if few channels allow it, flattened, one hidden layer;
- *conv*: one small convolution over the map or along the tokens, then linear; over a map as fine as
  an input's, more of them, each followed by pooling.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cache_models.cache.variant import Variant
from cache_models.network.features import finest_grid, pool_further, standardisation

VARIANTS = {"pool": (1, 2, 4), "fc": (32, 128), "conv": (8, 32)}
FC_GRID, FC_VALUES = 4, 2048
COARSE = 11
"""Side of a map that one convolution may take in."""


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
        if family != "pool" or size <= largest
    ]


class Predictor(nn.Module):
    """Features → scores of the base DNN's classes."""

    def __init__(self, variant: Variant, feature_shape: tuple[int, ...], classes: int):
        super().__init__()
        fc_grid = max(FC_GRID, finest_grid(feature_shape, FC_VALUES))
        self.grid = {"pool": variant.size, "fc": fc_grid, "conv": None}[variant.family]
        shape = self._pool(torch.zeros(1, *feature_shape)).shape[1:]
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        match variant.family:
            case "pool":
                layers = [nn.Flatten(), nn.Dropout(0.2), nn.Linear(shape.numel(), classes)]
            case "fc":
                layers = [
                    nn.Flatten(),
                    nn.Dropout(0.2),
                    nn.Linear(shape.numel(), variant.size),
                    nn.ReLU(),
                    nn.Dropout(0.2),
                    nn.Linear(variant.size, classes),
                ]
            case "conv":
                layers = _convolution(shape, variant.size, classes)
        self.layers = nn.Sequential(*layers)

    def fit_scaling(self, batches: Iterable[Tensor]) -> None:
        """Standardise each value by its mean and deviation over `(B, *feature_shape)` batches; of a
        fine map that is convolved each channel's values together, since a filter that is the same
        everywhere learns less from places that are not alike."""
        pooled = (self._pool(features.float()) for features in batches)
        if self.grid is None and _is_fine(self.mean.shape):
            rows = (maps.movedim(1, -1).flatten(0, -2) for maps in pooled)
            mean, scale = (values.view(-1, 1, 1) for values in standardisation(rows))
        else:
            mean, scale = standardisation(pooled)
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, *feature_shape)` float16 or float32 → `(B, K)` scores."""
        return self.layers((self._pool(features.float()) - self.mean) * self.scale)

    def _pool(self, features: Tensor) -> Tensor:
        return features if self.grid is None else pool_further(features, self.grid)


def _is_fine(shape: torch.Size) -> bool:
    """Whether features are a map that takes more than one convolution."""
    return len(shape) == 3 and min(shape[1:]) > COARSE


def _convolution(shape: torch.Size, channels: int, classes: int) -> list[nn.Module]:
    """3x3 with stride 2 over a map, 1x1 over one that is smaller than that; 3 along the tokens."""
    layers: list[nn.Module] = []
    if len(shape) == 3:
        inputs, side = shape[0], min(shape[1:])
        while side > COARSE:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            inputs, channels, side = channels, 2 * channels, side // 2
        kernel, stride, padding = (3, 2, 1) if side >= 3 else (1, 1, 0)
        layers.append(nn.Conv2d(inputs, channels, kernel, stride, padding))
        if _is_fine(shape):
            layers.append(nn.BatchNorm2d(channels))
    else:
        layers += [_Transpose(), nn.Conv1d(shape[1], channels, 3, padding=1)]
    layers += [nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)]
    with torch.no_grad():
        width = nn.Sequential(*layers).eval()(torch.zeros(1, *shape)).shape[1]
    return [*layers, nn.Linear(width, classes)]


class _Transpose(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.transpose(1, 2)
