"""The base DNN in 8-bit integers, as ONNX Runtime quantizes it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch

from cache_models.bench.engines import AsTuple
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import median_ms
from cache_models.network.engine.export import export
from cache_models.network.engine.onnx_runtime import OnnxRuntime

CALIBRATES = 100
"""Samples from which the ranges of activations are taken."""


def quantize(base: BaseDNN, given: np.ndarray, file: Path) -> None:
    """Write the graph: weights by channel and activations in int8, their ranges from samples
    (post-training static quantization).

    Args:
        given: samples, as `BaseDNN.inputs` takes them.

    Raises:
        ExportError: the base DNN has no graph.
    """
    from onnxruntime.quantization import CalibrationDataReader, quant_pre_process, quantize_static

    class Samples(CalibrationDataReader):
        def __init__(self, name: str):
            rows = (base.inputs(one[None]).numpy() for one in given[:CALIBRATES])
            self._rows = ({name: row} for row in rows)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._rows, None)

    with tempfile.TemporaryDirectory(prefix="gati-") as folder:
        whole, prepared = (Path(folder) / f"{name}.onnx" for name in ("32", "pre"))
        export(AsTuple(base.module).eval(), [torch.zeros(2, *base.description.input_shape)], whole)
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        name = onnx.load(prepared, load_external_data=False).graph.input[0].name
        quantize_static(str(prepared), str(file), Samples(name), per_channel=True)


@contextlib.contextmanager
def quantized(base: BaseDNN, given: np.ndarray, threads: int) -> Iterator[OnnxRuntime]:
    """The engine; arguments and errors as of `quantize`."""
    with tempfile.TemporaryDirectory(prefix="gati-") as folder:
        quantize(base, given, Path(folder) / "8.onnx")
        yield OnnxRuntime(Path(folder) / "8.onnx", threads)


def labels_of(engine: OnnxRuntime, base: BaseDNN, given: np.ndarray) -> np.ndarray:
    """`(N,)`, one at a time, as they are served."""
    rows = (base.inputs(given[i : i + 1]).numpy() for i in range(len(given)))
    return np.array([int(engine(row)[0].argmax()) for row in rows])


def one_ms(engine: OnnxRuntime, base: BaseDNN, given: np.ndarray) -> float:
    """Median milliseconds of one sample."""
    row = base.inputs(given[:1]).numpy()
    return median_ms(lambda: engine(row))
