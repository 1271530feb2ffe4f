"""The whole base DNN in 8-bit integers: as it is served, and its graph, which is made once and kept
in `$GATI_HOME/compare`."""

from pathlib import Path
from typing import Any

import numpy as np

from cache_models.bench.quantized import CALIBRATES, quantize
from cache_models.data.datasets import cache_home
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from workload.compare.systems.whole import Whole, reply


def graph_of(base: BaseDNN, given: np.ndarray) -> Path:
    """The file of the graph, made if it is not there.

    Args:
        given: samples, as `BaseDNN.inputs` takes them.

    Raises:
        ExportError: the base DNN has no graph.
    """
    file = cache_home() / "compare" / f"int8-{base.fingerprint()[:16]}.onnx"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        quantize(base, given[:CALIBRATES], partial)
        partial.replace(file)
    return file


class Int8(Whole):
    """
    Args:
        graph: of the whole base DNN in integers; other arguments as of `Whole`.
    """

    def __init__(self, store: Path, device: str, threads: int, graph: Path):
        super().__init__(store, device, threads)
        self._small = OnnxRuntime(graph, threads)

    def about(self, image: np.ndarray) -> dict[str, Any]:
        (scores,) = self._small(self.description.inputs(image))
        shares = np.exp(scores - scores.max(1, keepdims=True))
        probabilities = shares / shares.sum(1, keepdims=True)
        return reply(self.description, int(scores[0].argmax()), probabilities, "base")
