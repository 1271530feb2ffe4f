"""A learned cache as an ONNX graph: what `LearnedCache` computes, made from its weights.

It takes milliseconds and no PyTorch, so a lookup makes the graph of every version that it loads,
and no graph has to be kept. Dropout, which does nothing in service, is left out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cache_models.cache.architecture import (
    LEAST_LOG_P,
    STATISTICS,
    Layer,
    gate_grid,
    grid_of,
    layers_of,
)
from cache_models.cache.recall import PREFIX
from cache_models.cache.variant import Variant

OPSET, IR_VERSION = 20, 10

Weights = Mapping[str, np.ndarray]
"""The state of a `LearnedCache`, by name."""


def cache_graph(
    variant: Variant, feature_shape: tuple[int, ...], classes: int, weights: Weights
) -> bytes:
    """`features` `(B, *feature_shape)` float16 → class probabilities `(B, K)` and probability of
    agreement `(B,)`, which is 0 for a novel input; and, of a cache with a memory of streams, the
    inputs' vectors `(B, d)`.

    Raises:
        KeyError, ValueError: the weights are not those of such a cache.
    """
    graph = _Graph(weights)
    features = graph.op("Cast", "features", to=TensorProto.FLOAT)
    scores = _predictor(graph, features, variant, feature_shape, classes)
    graph.op("Softmax", scores, axis=1, out="probabilities")
    agreement = _selector(graph, scores, classes)
    x = _standardised(graph, features, feature_shape)
    familiar = graph.op("Cast", _gate(graph, x), to=TensorProto.FLOAT)
    graph.op("Mul", agreement, familiar, out="confidence")
    outputs = {"probabilities": [classes], "confidence": []}
    if graph.has(projection := f"{PREFIX}projection"):
        graph.op("MatMul", x, graph.weight(projection), out="vectors")
        outputs["vectors"] = [graph.weight(projection).shape[1]]
    return graph.serialised(feature_shape, outputs)


class _Graph:
    """Nodes in order; constants are those that an operation is given as arrays."""

    def __init__(self, weights: Weights):
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def weight(self, name: str) -> np.ndarray:
        return self._weights[name]

    def has(self, name: str) -> bool:
        return name in self._weights

    def op(self, kind: str, *inputs: str | np.ndarray, out: str = "", **attributes: Any) -> str:
        """Add an operation; returns the name of its first result."""
        out = out or f"{kind.lower()}_{len(self._nodes)}"
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        outs = [out, f"{out}_indices"] if kind == "TopK" else [out]
        self._nodes.append(helper.make_node(kind, names, outs, **attributes))
        return out

    def reduced(self, kind: str, values: str) -> str:
        """`Sum` or `Max` over each row's values: `(B, n)` → `(B,)`."""
        return self.op(f"Reduce{kind}", values, _integers(1), keepdims=0)

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def serialised(self, feature_shape: tuple[int, ...], outputs: dict[str, list[int]]) -> bytes:
        """
        Args:
            outputs: by name, their shapes without the batch.
        """
        value, real = helper.make_tensor_value_info, TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            "learned_cache",
            [value("features", TensorProto.FLOAT16, ["batch", *feature_shape])],
            [value(name, real, ["batch", *shape]) for name, shape in outputs.items()],
            self._constants,
        )
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        return model.SerializeToString()


def _floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _predictor(
    graph: _Graph, features: str, variant: Variant, shape: tuple[int, ...], classes: int
) -> str:
    """Scores `(B, K)`; see `cache.predictors`."""
    grid = grid_of(variant, shape)
    if grid is not None:
        features, shape = _pooled(graph, features, shape, grid)
    mean, scale = graph.weight("predictor.mean"), graph.weight("predictor.scale")
    x = graph.op("Mul", graph.op("Sub", features, mean), scale)
    for i, layer in enumerate(layers_of(variant, shape, classes)):
        x = _layer(graph, x, layer, f"predictor.layers.{i}")
    return x


def _layer(graph: _Graph, x: str, layer: Layer, name: str) -> str:
    def weights(*names: str) -> list[np.ndarray]:
        return [graph.weight(f"{name}.{of_layer}") for of_layer in names]

    match layer.kind:
        case "linear":
            return graph.op("Gemm", x, *weights("weight", "bias"), transB=1)
        case "conv":
            sides = layer.dimensions
            return graph.op(
                "Conv",
                x,
                *weights("weight", "bias"),
                strides=[layer.stride] * sides,
                pads=[layer.padding] * 2 * sides,
            )
        case "norm":
            learned = weights("weight", "bias", "running_mean", "running_var")
            return graph.op("BatchNormalization", x, *learned)
        case "relu":
            return graph.op("Relu", x)
        case "pool":
            return graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        case "transpose":
            return graph.op("Transpose", x, perm=[0, 2, 1])
        case "overall":
            largest, mean = (
                graph.op(f"Reduce{k}", x, _integers(2), keepdims=0) for k in ("Max", "Mean")
            )
            return graph.op("Concat", largest, mean, axis=1)
        case "flatten":
            return graph.op("Flatten", x)
        case "dropout":
            return x


def _selector(graph: _Graph, scores: str, classes: int) -> str:
    """Confidence `(B,)`; see `cache.learned_cache.Selector`."""
    log_p = graph.op("LogSoftmax", scores, axis=1)
    kept = min(3, classes)
    top = graph.op("Max", graph.op("TopK", log_p, _integers(kept), axis=1), _floats(LEAST_LOG_P))
    top = graph.op("Pad", top, _integers(0, 0, 0, 3 - kept), _floats(LEAST_LOG_P)[0])
    margin = graph.op("Gemm", top, _floats(1, -1, 0)[:, None])
    expected = graph.op("Mul", graph.op("Exp", log_p), log_p)
    entropy = graph.op("Neg", graph.op("ReduceSum", expected, _integers(1)))
    x = graph.op("Concat", top, margin, entropy, axis=1)
    rows, columns = (graph.op("Gather", x, i, axis=1) for i in np.triu_indices(STATISTICS))
    terms = graph.op("Concat", x, graph.op("Mul", rows, columns), axis=1)
    mean, scale = graph.weight("selector.mean"), graph.weight("selector.scale")
    standardised = graph.op("Mul", graph.op("Sub", terms, mean), scale)
    weight, bias = graph.weight("selector.linear.weight"), graph.weight("selector.linear.bias")
    if graph.has("selector.stake"):
        bias = bias + np.log(graph.weight("selector.stake"))
    logit = graph.op("Gemm", standardised, weight, bias, transB=1)
    return graph.op("Sigmoid", graph.op("Squeeze", logit, _integers(1)))


def _standardised(graph: _Graph, features: str, shape: tuple[int, ...]) -> str:
    """What the gate reads, `(B, D)`."""
    pooled, _ = _pooled(graph, features, shape, gate_grid(shape))
    flat = graph.op("Flatten", pooled)
    mean, scale = graph.weight("gate.mean"), graph.weight("gate.scale")
    return graph.op("Mul", graph.op("Sub", flat, mean), scale)


def _gate(graph: _Graph, x: str) -> str:
    """Whether features are familiar, `(B,)` bool; see `cache.novelty.NoveltyGate`."""
    mean = graph.weight("gate.mean")
    variance = graph.weight("gate.variance")
    along = graph.op("MatMul", x, graph.weight("gate.axes").astype(np.float32))
    along = graph.op("Mul", along, along)
    whole = graph.reduced("Sum", graph.op("Mul", x, x))
    across = graph.op("Sub", whole, graph.reduced("Sum", along))
    across = graph.op("Div", graph.op("Max", across, _floats(0)), variance[-1:])
    along = graph.reduced("Sum", graph.op("Div", along, variance[:-1]))
    distance = graph.op("Div", graph.op("Add", along, across), _floats(len(mean)))
    near = graph.op("LessOrEqual", distance, graph.weight("gate.farthest"))
    if not graph.has("gate.weight"):
        return near
    known = graph.weight("gate.known")
    weight = graph.weight("gate.weight").astype(np.float32)
    scores = graph.op("Gemm", x, weight, graph.weight("gate.bias"))
    masks = (np.where(of, 0, -np.inf).astype(np.float32) for of in (known, ~known))
    masked = [graph.op("Add", scores, mask) for mask in masks]
    best = [graph.reduced("Max", values) for values in masked]
    spread = graph.op("Sqrt", graph.op("Max", distance, _floats(1e-6)))
    lead = graph.op("Div", graph.op("Sub", *best), spread)
    ahead = graph.op("GreaterOrEqual", lead, graph.weight("gate.least_lead"))
    return graph.op("And", near, ahead)


def _pooled(
    graph: _Graph, features: str, shape: tuple[int, ...], grid: int
) -> tuple[str, tuple[int, ...]]:
    """As `network.pooling.pool_further`: averages over windows, which are products with matrices.

    Returns:
        The result, and its shape without the batch.
    """
    match shape:
        case (channels, height, width):
            rows, columns = (min(grid, side) for side in (height, width))
            if rows < height:
                features = graph.op("MatMul", _windows(rows, height), features)
            if columns < width:
                features = graph.op("MatMul", features, _windows(columns, width).T)
            return features, (channels, rows, columns)
        case (tokens, channels) if tokens - 1 > grid:
            first = np.zeros((grid + 1, tokens), np.float32)
            first[0, 0] = 1
            first[1:, 1:] = _windows(grid, tokens - 1)
            return graph.op("MatMul", first, features), (grid + 1, channels)
    return features, shape


def _windows(size: int, length: int) -> np.ndarray:
    """`(size, length)`: the windows of adaptive average pooling."""
    windows = np.zeros((size, length), np.float32)
    for i in range(size):
        start, end = i * length // size, -(-(i + 1) * length // size)
        windows[i, start:end] = 1 / (end - start)
    return windows
