"""From a PyTorch module to an ONNX graph, and the check that both compute the same."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from cache_models.errors import ExportError

ONE_FILE_BYTES = 2**31 - 2**26
"""A graph may have 2 GB; the weights of a larger one lie in a file beside it."""


def export(module: nn.Module, inputs: Sequence[Tensor], file: Path) -> None:
    """Write `module`, for batches of any size, to `file`; weights of 2 GB and more to
    `<file>.data` beside it.

    Args:
        module: in evaluation mode; returns a tuple of tensors.
        inputs: examples of its arguments, batches of two.

    Raises:
        ExportError: PyTorch's exporter refuses it; says why.
    """
    batch = Dim("batch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(inputs),
                dynamo=True,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                verbose=False,
            )
    except Exception as error:  # of many kinds, its own and those of what it calls
        why = str(error.__cause__ or error).strip().split("\n")[0]
        raise ExportError(f"PyTorch cannot export it to ONNX: {why}") from error
    assert program is not None
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    program.save(file, external_data=weights > ONE_FILE_BYTES)
