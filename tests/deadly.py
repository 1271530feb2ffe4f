"""A base DNN that ends its process when it is shown one certain picture, as a mistake in a native
library does."""

import os
import time

import numpy as np
import torch
from torch import fx, nn

from cache_models.network.description import ModelDescription
from tests.tiny import Tiny, tiny

POISON = np.full((8, 8, 1), 255, np.uint8)
"""A white picture; in a batch it is deadly, too."""


@fx.wrap
def die_of(inputs: torch.Tensor) -> torch.Tensor:
    """What it is given, if it returns. It has no graph, so PyTorch computes the slice."""
    time.sleep(0.05)  # so that some are under way at any moment
    white = inputs.flatten(1).amin(1) > 1.99
    if bool(white.any()):
        os._exit(1)
    return inputs


class Deadly(Tiny):
    def forward(self, x):
        return super().forward(die_of(x))


def deadly() -> tuple[nn.Module, ModelDescription]:
    """Otherwise as `tests.tiny.tiny`."""
    module, description = tiny()
    found = Deadly()
    found.load_state_dict(module.state_dict())
    return found, description
