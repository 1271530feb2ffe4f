"""Kernels of a module recorded once as a CUDA graph, and launched by one call: the engine on GPUs.

Launched one by one, the kernels of a slice for one picture take the processor longer than the GPU.
A graph is of one shape, so each shape of batch has its own; all take their memory from one pool,
since one runs at a time (as vLLM does it).
"""

import copy
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from cache_models.errors import EngineError
from cache_models.network.engine.interface import DType
from cache_models.network.engine.numerics import numerics
from cache_models.network.engine.pytorch import copied

logger = logging.getLogger(__name__)

MOST = 32
"""Graphs; a batch of yet another shape is run kernel by kernel."""
WARM_UP = 3
"""Runs before a graph is recorded, in which libraries choose kernels and take memory."""
HIGH, LOW = -1, 0
"""Priorities of streams."""


class _Graph(NamedTuple):
    graph: torch.cuda.CUDAGraph
    given: list[Tensor]
    made: list[Tensor]


class CudaGraphs:
    """
    Args:
        module: in evaluation mode; returns a tuple of tensors.
        device: `cuda` or `cuda:N`.
        dtype: to compute in.

    Raises:
        EngineError: `device` is no GPU.
    """

    def __init__(self, module: nn.Module, device: str, dtype: DType = "float32"):
        self._device, self._dtype = torch.device(device), dtype
        if self._device.type != "cuda":
            raise EngineError(
                f"`engine: cuda_graphs` is impossible on {device}: set `device: cuda`, or leave "
                f"`engine: auto`."
            )
        self._module = copied(module, self._device, dtype)
        self._enter(MOST, HIGH)

    def _enter(self, most: int, priority: int) -> None:
        """
        Args:
            most: graphs that are recorded.
            priority: among all that the GPU does for this process.
        """
        self._most = most
        self._stream = torch.cuda.Stream(self._device, priority=priority)
        self._graphs: dict[tuple, _Graph | None] = {}
        self._pool: Any = None  # of memory; the first graph makes it

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        given = [_pinned(array) for array in arrays]
        with torch.inference_mode(), torch.cuda.stream(self._stream), numerics(self._dtype):
            if (graph := self._graph(given)) is None:
                made = self._module(*(one.to(self._device, non_blocking=True) for one in given))
            else:
                for static, one in zip(graph.given, given, strict=True):
                    static.copy_(one, non_blocking=True)
                graph.graph.replay()
                made = graph.made
            there = [_on_its_way(one) for one in made]
        self._stream.synchronize()
        return [one.numpy() for one in there]

    def in_background(self) -> Self:
        """As of `Engine`: the same weights, behind what requests wait for, and without graphs of
        its own."""
        other = copy.copy(self)
        other._enter(0, LOW)
        return other

    def _graph(self, given: Sequence[Tensor]) -> _Graph | None:
        shapes = tuple((one.shape, one.dtype) for one in given)
        if shapes not in self._graphs and len(self._graphs) < self._most:
            try:
                self._graphs[shapes] = self._recorded(given)
            except RuntimeError as error:
                self._graphs[shapes] = None
                logger.warning("runs kernel by kernel, since no graph can be recorded: %s", error)
        return self._graphs.get(shapes)

    def _recorded(self, given: Sequence[Tensor]) -> _Graph:
        static = [one.to(self._device) for one in given]
        for _ in range(WARM_UP):
            self._module(*static)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            made = list(self._module(*static))
        self._pool = self._pool or graph.pool()
        return _Graph(graph, static, made)


def _pinned(array: np.ndarray) -> Tensor:
    """A copy from which the GPU reads by itself; what travelled may be read-only."""
    pinned = torch.empty(array.shape, dtype=torch.from_numpy(array[:0].copy()).dtype).pin_memory()
    pinned.numpy()[...] = array
    return pinned


def _on_its_way(tensor: Tensor) -> Tensor:
    """A copy in the processor's memory, there once the stream has got so far."""
    there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return there.copy_(tensor, non_blocking=True)
