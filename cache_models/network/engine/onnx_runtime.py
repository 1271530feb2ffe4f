"""ONNX Runtime: the engine of graphs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime

from cache_models.errors import EngineError
from cache_models.network.memory import return_freed_memory

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
ERRORS_ALONE = 3


class OnnxRuntime:
    """An ONNX graph to run; needs no PyTorch. While it runs, other threads of Python do, too.

    Its threads sleep between calls: what spins then is a core that another process lacks.

    Args:
        graph: a file, or what would be in it.
        threads: within one operation.
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        EngineError: the graph cannot be loaded, or this ONNX Runtime knows no such device.
    """

    def __init__(self, graph: Path | bytes, threads: int, device: str = "cpu"):
        kind, _, index = device.partition(":")
        if (provider := PROVIDERS[kind]) not in onnxruntime.get_available_providers():
            raise EngineError(
                f"onnxruntime is installed here without {provider}: install onnxruntime-gpu, or "
                f"set `engine: torch` for deployments on {device}."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = ERRORS_ALONE
        placed = {"device_id": index or "0"} if kind == "cuda" else {}
        try:
            self._session = onnxruntime.InferenceSession(
                graph if isinstance(graph, bytes) else str(graph),
                options,
                providers=[(provider, placed)],
            )
        except Exception as error:  # its errors have no class of their own
            raise EngineError(f"onnxruntime cannot load the graph: {error}") from error
        return_freed_memory()
        self._graph, self._on_cpu = graph, kind == "cpu"
        self._inputs = [value.name for value in self._session.get_inputs()]

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        return self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))

    def in_background(self) -> Self:
        """As of `Engine`; its copy of the weights is its own, since in each session they are laid
        out for the operators that it has chosen."""
        return type(self)(self._graph, threads=1) if self._on_cpu else self
