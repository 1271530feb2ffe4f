"""Activations on their way from one partition to the next: arrays in the precision that travels."""

import numpy as np
import torch
from torch import Tensor


def pack(activation: Tensor, dtype: torch.dtype) -> np.ndarray:
    """A tensor as an array of `dtype`; bfloat16, which numpy lacks, as its bits in int16."""
    if dtype == torch.float16:
        limit = torch.finfo(dtype).max
        activation = activation.clamp(-limit, limit)
    packed = activation.to(dtype).contiguous().cpu()
    return (packed.view(torch.int16) if dtype == torch.bfloat16 else packed).numpy()


def unpack(array: np.ndarray, device: torch.device) -> Tensor:
    """The float32 tensor on `device` that `pack` made `array` from; always a copy, since what
    travelled may be read-only and layers may work in place."""
    tensor = torch.tensor(array, device=device)
    if tensor.dtype == torch.int16:
        tensor = tensor.view(torch.bfloat16)
    return tensor.float()
