"""PyTorch as an engine: for what has no graph, and for GPUs."""

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import nn

from cache_models.errors import EngineError
from cache_models.network.engine.interface import DType
from cache_models.network.engine.numerics import numerics, weights_of


class PyTorch:
    """A module to run, as it is or by torch.compile.

    Args:
        threads: within one operation. Each thread that asks gets so many of its own, so it had
            better be always the same.
        compiled: takes half a minute, and at another batch size again.
        dtype: to compute in.
    """

    def __init__(
        self,
        module: nn.Module,
        threads: int,
        device: torch.device | str = "cpu",
        compiled: bool = False,
        dtype: DType = "float32",
    ):
        self._threads, self._dtype = threads, dtype
        self._device = torch.device(device)
        module = copied(module, self._device, dtype)
        self._plain = module
        self._module = torch.compile(module, options={"freezing": True}) if compiled else module

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """
        Raises:
            EngineError: torch.compile does not work on this machine.
        """
        if torch.get_num_threads() != self._threads:  # those of the thread that asks
            torch.set_num_threads(self._threads)
        with torch.inference_mode(), numerics(self._dtype):
            # Copies, since what travelled may be read-only and layers may work in place;
            # contiguous, since `view` and the like ask for strides as in training.
            given = [
                torch.tensor(np.ascontiguousarray(array), device=self._device) for array in arrays
            ]
            try:
                made = self._module(*given)
            except torch._dynamo.exc.TorchDynamoException as error:
                raise EngineError(
                    f"torch.compile does not work on this machine ({error}); on a CPU it needs a "
                    f"C++ compiler such as g++. Install one, or choose another engine."
                ) from error
            return [tensor.cpu().numpy() for tensor in made]

    def in_background(self) -> Self:
        """As of `Engine`; on a CPU the module as it is, weights included."""
        if self._device.type != "cpu":
            return self
        return type(self)(self._plain, threads=1, dtype=self._dtype)


def copied(module: nn.Module, device: torch.device, dtype: DType = "float32") -> nn.Module:
    """A module of float32 weights on `device` and in `dtype`: itself where it is so already, else a
    copy, where no second one is made on the way."""
    kept = weights_of(dtype)
    tensors = [*module.parameters(), *module.buffers()]
    floating = [one for one in tensors if one.is_floating_point()]
    if device.type == "cpu" and all(one.dtype == kept for one in floating):
        return module

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device, kept if tensor.is_floating_point() else None)

    there: dict[int, object] = {
        id(weight): nn.Parameter(moved(weight), requires_grad=False)
        for weight in module.parameters()
    }
    there |= {id(buffer): moved(buffer) for buffer in module.buffers()}
    return copy.deepcopy(module, there).to(device)
