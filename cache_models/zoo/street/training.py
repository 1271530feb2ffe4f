"""Fine-tune the last layer of EfficientNet-Lite0 to the zones' occupancy in the first half."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from cache_models.data.video import VideoOptions, pictures
from cache_models.errors import DataError
from cache_models.network.engine.making import engine
from cache_models.network.pixels import pixels
from cache_models.zoo.efficientnet_lite0 import classifier
from cache_models.zoo.pretrain import publish
from cache_models.zoo.street import preprocessing_at
from cache_models.zoo.street.occupancy import CLASSES, ZONES, occupancy

WEIGHT_DECAY = 1e-2
STEPS = 200
EVERY = 3
"""Frames between two that are looked at; between them little changes."""


class _Features(nn.Module):
    """What the last layer takes, for an engine."""

    def __init__(self, classifier: Any):
        super().__init__()
        self.classifier = classifier

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.classifier.features(inputs),)


def train(video: Path, out: Path, size: int) -> dict:
    """Fit on the first half of the time, test on the second, and write `out` and its card.

    Args:
        size: pixels a side that zones are resized to.

    Returns:
        The card.
    """
    labels = occupancy(video)[::EVERY]
    module: Any = classifier(len(CLASSES)).eval()
    features = _features(module, video, size).reshape(*labels.shape, -1)
    middle = len(labels) // 2
    _fit(module.head, features[:middle].flatten(0, 1), torch.from_numpy(labels[:middle].ravel()))
    with torch.inference_mode():
        answers = module.head(features[middle:]).argmax(-1).numpy()
    told = labels[middle:]
    card = {
        "model": "EfficientNet-Lite0 with its ImageNet weights, the last layer fitted anew",
        "data": f"{video.name}, first half, labelled by background subtraction",
        "size": size,
        "accuracy": round(float((answers == told).mean()), 4),
        "most_frequent": round(float(np.bincount(told.ravel()).max() / told.size), 4),
    }
    publish(module.head.state_dict(), card, out)
    return card


def _features(module: nn.Module, video: Path, size: int) -> torch.Tensor:
    """Of the zones of every `EVERY`th frame, in order, `(frames * ZONES, D)`."""
    preprocessing = preprocessing_at(size)
    compute = engine(_Features(module), [(3, size, size)])
    found: list[np.ndarray] = []
    for i, picture in enumerate(tqdm(pictures(video, VideoOptions(crops=ZONES)), unit="zone")):
        if isinstance(picture, str):
            raise DataError(picture)
        if i // ZONES % EVERY == 0:
            (features,) = compute(preprocessing(pixels(picture, 3)[None]))
            found.append(features)
    return torch.from_numpy(np.concatenate(found))


def _fit(head: nn.Linear, features: torch.Tensor, labels: torch.Tensor) -> None:
    """Multinomial logistic regression."""
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(head(features), labels)
        value = value + WEIGHT_DECAY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
