"""What a learned cache consists of, said once: training makes PyTorch modules of it, and serving an
ONNX graph."""

import math
from typing import Literal, NamedTuple

from cache_models.cache.variant import Variant
from cache_models.network.features import finest_grid

FC_GRID, FC_VALUES = 4, 2048
COARSE = 11
"""Side of a map that one convolution may take in."""
DROPOUT = 0.2
STATISTICS = 5
"""That the selector reads: the three largest log probabilities, the margin between the first two,
and the entropy."""
LEAST_LOG_P = -20.0
GATE_VALUES = 2048


class Layer(NamedTuple):
    """One layer.

    Attributes:
        kind: `conv`, along tokens or over a map; `norm`, over batches; `pool`, the largest of 2x2;
            `transpose`, tokens `(T, C)` to `(C, T)`; `overall`, of these the largest and the mean
            of each channel, `(2 C,)`; and what their names say.
        inputs, outputs: values or channels, of `linear`, `conv` and `norm`.
        kernel, stride, padding: of `conv`.
        dimensions: of `conv`, 1 or 2.
    """

    kind: Literal[
        "linear", "conv", "norm", "relu", "pool", "transpose", "overall", "flatten", "dropout"
    ]
    inputs: int = 0
    outputs: int = 0
    kernel: int = 0
    stride: int = 1
    padding: int = 0
    dimensions: int = 0


def grid_of(variant: Variant, feature_shape: tuple[int, ...]) -> int | None:
    """To which features are pooled before anything else; None if they are taken as they are."""
    match variant.family:
        case "pool":
            return variant.size
        case "fc":
            return max(FC_GRID, finest_grid(feature_shape, FC_VALUES))
        case _:
            return None


def gate_grid(feature_shape: tuple[int, ...]) -> int:
    """To which the novelty gate pools features."""
    return finest_grid(feature_shape, GATE_VALUES)


def is_fine(shape: tuple[int, ...]) -> bool:
    """Whether features are a map that takes more than one convolution."""
    return len(shape) == 3 and min(shape[1:]) > COARSE


def layers_of(variant: Variant, shape: tuple[int, ...], classes: int) -> list[Layer]:
    """In order.

    Args:
        shape: of features that have been pooled to `grid_of`.
    """
    flatten, dropout, values = Layer("flatten"), Layer("dropout"), math.prod(shape)
    match variant.family:
        case "pool":
            return [flatten, dropout, Layer("linear", values, classes)]
        case "fc":
            hidden = Layer("linear", values, variant.size), Layer("relu"), dropout
            return [flatten, dropout, *hidden, Layer("linear", variant.size, classes)]
        case "ngram":
            grams = Layer("conv", shape[1], variant.size, 3, padding=1, dimensions=1)
            found = Layer("transpose"), dropout, grams, Layer("relu"), Layer("overall")
            return [*found, dropout, Layer("linear", 2 * variant.size, classes)]
    layers, values = _convolution(shape, variant.size)
    return [*layers, Layer("relu"), flatten, dropout, Layer("linear", values, classes)]


def _convolution(shape: tuple[int, ...], channels: int) -> tuple[list[Layer], int]:
    """3x3 with stride 2 over a map, 1x1 over one that is smaller than that; 3 along the tokens.

    Returns:
        The layers, and how many values they leave.
    """
    if len(shape) < 3:
        tokens, inputs = shape
        along = Layer("conv", inputs, channels, 3, padding=1, dimensions=1)
        return [Layer("transpose"), along], tokens * channels
    inputs, height, width = shape
    layers = []
    while min(height, width) > COARSE:
        layers.append(Layer("conv", inputs, channels, 3, padding=1, dimensions=2))
        layers.append(Layer("norm", channels, channels))
        layers += [Layer("relu"), Layer("pool")]
        inputs, channels, height, width = channels, 2 * channels, height // 2, width // 2
    kernel, stride, padding = (3, 2, 1) if min(height, width) >= 3 else (1, 1, 0)
    layers.append(Layer("conv", inputs, channels, kernel, stride, padding, dimensions=2))
    if is_fine(shape):
        layers.append(Layer("norm", channels, channels))
    sides = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    return layers, channels * math.prod(sides)
