"""Fine-tune the last layer of EfficientNet-Lite0 to the zones' occupancy in the first half."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from cache_models.data.video import VideoOptions, pictures
from cache_models.errors import DataError
from cache_models.network.pixels import pixels
from cache_models.zoo.efficientnet_lite0 import PREPROCESSING, classifier
from cache_models.zoo.pretrain import publish
from cache_models.zoo.street.occupancy import CLASSES, ZONES, occupancy

BATCH = 32
WEIGHT_DECAY = 1e-3
STEPS = 200


def train(video: Path, out: Path) -> dict:
    """Fit on the first half of the time, test on the second, and write `out` and its card.

    Returns:
        The card.
    """
    labels = occupancy(video).reshape(-1)
    module: Any = classifier(len(CLASSES))
    features = _features(module, video)
    middle = len(labels) // ZONES // 2 * ZONES
    first, second = slice(middle), slice(middle, None)
    _fit(module.head, features[first], torch.from_numpy(labels[first]))
    with torch.inference_mode():
        answers = module.head(features[second]).argmax(1).numpy()
    card = {
        "model": "EfficientNet-Lite0 with its ImageNet weights, the last layer fitted anew",
        "data": f"{video.name}, first half, labelled by background subtraction",
        "accuracy": round(float((answers == labels[second]).mean()), 4),
        "most_frequent": round(float(np.bincount(labels[second]).max() / len(answers)), 4),
    }
    publish(module.head.state_dict(), card, out)
    return card


def _features(module: Any, video: Path) -> torch.Tensor:
    """Of the zones of every frame, in order, `(frames * ZONES, D)`."""
    module.eval()
    found: list[torch.Tensor] = []
    batch: list[np.ndarray] = []

    def flush() -> None:
        with torch.inference_mode():
            found.append(module.features(torch.from_numpy(PREPROCESSING(np.stack(batch)))))
        batch.clear()

    for picture in tqdm(pictures(video, VideoOptions(crops=ZONES)), "look", unit="zone"):
        if isinstance(picture, str):
            raise DataError(picture)
        batch.append(pixels(picture, 3))
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    return torch.cat(found)


def _fit(head: nn.Linear, features: torch.Tensor, labels: torch.Tensor) -> None:
    """Multinomial logistic regression."""
    features = features.clone()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(head(features), labels)
        value = value + WEIGHT_DECAY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
