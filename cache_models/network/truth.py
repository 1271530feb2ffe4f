"""The base DNN's labels, which are the truth: those of the unmodified module, and quickly.

On a CPU PyTorch may take ten times as long as ONNX Runtime, most of it for memory that it takes
from the operating system and gives back at every layer. So a graph of the module answers, and the
module itself where rounding could have decided.
"""

import logging

import numpy as np
import torch

from cache_models.errors import ExportError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.engine.interface import TOGETHER, Engine
from cache_models.network.engine.making import engine
from cache_models.network.partition_module import Last

FIRST = 32
"""Inputs that the module is asked about before a graph of it is made, and that the graph is then
tried on. Making one takes as long as asking about some dozens."""
NEAR = 1e-3
"""Of the largest score: how near the second must be for rounding to decide, with a wide margin, as
graphs differ from their modules by a millionth."""
ON_GPU = 50
"""Inputs at once, since activations may be large."""

logger = logging.getLogger(__name__)


class Truth:
    """Inputs, as `ModelDescription.inputs` takes them → the base DNN's labels, `(B,)` int64. To be
    kept while there is more to ask.

    Args:
        device: on a GPU the module answers everything.
    """

    def __init__(self, base: BaseDNN, device: str = "cpu"):
        self._base, self._device = base, torch.device(device)
        self._module = base.module.to(self._device)
        self._batch = TOGETHER if self._device.type == "cpu" else ON_GPU
        self._untried = self._device.type == "cpu"
        self._first: list[tuple[np.ndarray, np.ndarray]] = []
        self._graph: Engine | None = None

    def __call__(self, given: np.ndarray) -> np.ndarray:
        starts = range(0, len(given), self._batch)
        parts = [self._labels(given[start : start + self._batch]) for start in starts]
        return np.concatenate(parts)

    def _labels(self, given: np.ndarray) -> np.ndarray:
        inputs = self._base.description.inputs(given)
        if self._graph is not None:
            labels, near = self._by_graph(self._graph, inputs)
            if near.any():
                labels[near] = self._by_module(inputs[near])
            return labels
        labels = self._by_module(inputs)
        if self._untried:
            self._first.append((given, labels))
            if sum(len(rows) for rows, _ in self._first) >= FIRST:
                self._graph, self._untried = self._made(), False
                self._first.clear()
        return labels

    def _by_module(self, inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self._module(torch.tensor(inputs, device=self._device)).argmax(1).cpu().numpy()

    def _by_graph(self, graph: Engine, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels, and which of them rounding could have decided."""
        labels, scores = graph(inputs)
        second, first = np.partition(scores, -2, axis=1)[:, -2:].T
        return np.array(labels), first - second <= NEAR * np.abs(first)

    def _made(self) -> Engine | None:
        """A graph that agrees with the module on the first inputs; None if there is none."""
        description = self._base.description
        try:
            graph = engine(Last(self._module, description).eval(), [description.input_shape])
            for given, labels in self._first:
                found, near = self._by_graph(graph, description.inputs(given))
                if (wrong := (found != labels) & ~near).any():
                    raise ExportError(f"its graph labels {wrong.sum()} of {len(wrong)} otherwise")
        except Exception as error:  # whatever an exporter or a graph may raise
            logger.warning("the base DNN is asked in PyTorch: %s", error)
            return None
        return graph
