"""An engine for a module that is here, in this process."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cache_models.errors import ExportError
from cache_models.network.engine.export import export
from cache_models.network.engine.interface import DType, Engine, EngineChoice
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.engine.pytorch import PyTorch

logger = logging.getLogger(__name__)


def engine(
    module: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    threads: int | None = None,
    device: str = "cpu",
    choice: EngineChoice = "auto",
    dtype: DType = "float32",
) -> Engine:
    """An engine that computes what `module` does.

    Args:
        module: in evaluation mode; takes float32 tensors and returns a tuple of tensors.
        shapes: of its arguments, without the batch.
        threads: within one operation; by default as many as PyTorch has.
        choice: `auto` is ONNX Runtime on a CPU, unless the module has no graph, and else PyTorch;
            on a GPU CUDA graphs.
        dtype: to compute in; ONNX Runtime computes in float32.

    Raises:
        ExportError: ONNX Runtime was asked for, and the module has no graph.
    """
    threads = threads or torch.get_num_threads()
    on_cpu = torch.device(device).type == "cpu"
    if choice == "cuda_graphs" or (choice == "auto" and not on_cpu):
        from cache_models.network.engine.cuda_graphs import CudaGraphs

        return CudaGraphs(module, device, dtype)
    if choice == "onnxruntime" or (choice == "auto" and dtype == "float32"):
        inputs = [torch.zeros(2, *shape) for shape in shapes]
        with tempfile.TemporaryDirectory(prefix="gati-") as folder:
            file = Path(folder) / "graph.onnx"
            try:
                export(module, inputs, file)
                return OnnxRuntime(file, threads, device)
            except ExportError as error:
                if choice == "onnxruntime":
                    raise
                logger.warning("runs in PyTorch: %s", error)
    return PyTorch(module, threads, device, choice == "compile", dtype)
