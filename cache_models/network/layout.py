"""The memory layout of slices: channels last, in which convolutions need no reordering."""

from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T", Tensor, nn.Module)


def channels_last(value: T) -> T:
    """A module, or a tensor of any rank, with its 4-dimensional values in channels-last layout."""
    if isinstance(value, Tensor) and value.dim() != 4:
        return value
    return value.to(memory_format=torch.channels_last)
