"""Example: how many people are in each zone of a street. See README.md in this folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache_models.data.datasets import cache_home
from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription

if TYPE_CHECKING:
    from torch import nn

    from cache_models.network.preprocessing import Preprocessing


def weights_file() -> Path:
    """Where `python -m cache_models.zoo.street train` leaves the last layer."""
    return cache_home() / "street.safetensors"


def preprocessing_at(size: int) -> Preprocessing:
    """As EfficientNet-Lite0 was trained, but of the whole zone, `size` pixels a side."""
    from cache_models.zoo.efficientnet_lite0 import PREPROCESSING

    return replace(PREPROCESSING, crop_size=(size, size), resize_size=size)


def street() -> tuple[nn.Module, ModelDescription]:
    """The counter.

    Raises:
        ModelReferenceError: its last layer has not been fitted here, or the extra is missing.
    """
    from cache_models.network.loading.weights import load_weights
    from cache_models.zoo.efficientnet_lite0 import classifier
    from cache_models.zoo.street.occupancy import CLASSES

    if not weights_file().is_file():
        raise ModelReferenceError(
            f"{weights_file()} is not there; make it with "
            f"`python -m cache_models.zoo.street train vtest.avi`"
        )
    size = _size()
    module: Any = classifier(len(CLASSES))
    module.head.load_state_dict(load_weights(weights_file()))
    return module, ModelDescription((3, size, size), CLASSES, preprocessing_at(size))


def _size() -> int:
    """Pixels a side that the last layer was fitted to zones of."""
    card = weights_file().with_suffix(".json")
    try:
        return int(json.loads(card.read_text())["size"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelReferenceError(
            f"{card} does not say which size of zones the last layer was fitted to: fit it anew "
            f"with `python -m cache_models.zoo.street train vtest.avi`"
        ) from error
