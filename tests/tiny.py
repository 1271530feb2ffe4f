"""A base DNN and data small enough to learn caches for in a test."""

import numpy as np
import torch
from torch import nn

from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing

CLASSES = ("left", "right", "top", "bottom")


class Tiny(nn.Module):
    """A stem and some blocks; weights are random, so answers are learnable but not trivial."""

    def __init__(self, blocks: int = 3):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
                for _ in range(blocks)
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = nn.Linear(128, len(CLASSES))

    def forward(self, x):
        return self.head(self.pool(self.blocks(self.stem(x))).flatten(1))


def tiny(blocks: int = 3) -> tuple[nn.Module, ModelDescription]:
    """Worth a cache are the input, the stem, and every block but the last."""
    module = Tiny(blocks)
    preprocessing = Preprocessing(crop_size=(16, 16), mean=(0.5,), std=(0.25,))
    inputs = torch.from_numpy(preprocessing(images(200)))
    with torch.no_grad():  # scores of mean 0 and deviation 3, so that every class is answered
        module.head.weight.mul_(3 / module(inputs).std(0, keepdim=True).T)
        scores = module(inputs)
        module.head.bias.sub_(scores.mean(0))
    return module, ModelDescription((1, 16, 16), CLASSES, preprocessing)


def tiniest() -> tuple[nn.Module, ModelDescription]:
    """Where two candidates for a cache are enough."""
    return tiny(blocks=1)


def images(count: int, seed: int = 0) -> np.ndarray:
    """`(count, 8, 8, 1)` uint8: a bright half on one of four sides, and noise."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 90, (count, 8, 8, 1))
    for image, side in zip(made, rng.integers(0, 4, count), strict=True):
        half = np.rot90(image, side)
        half[:, :4] += rng.integers(60, 150)
    return made.astype(np.uint8)
