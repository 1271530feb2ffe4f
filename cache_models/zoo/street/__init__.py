"""Example: how many people are in six zones of a street. See README.md in this folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache_models.data.datasets import cache_home
from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription

if TYPE_CHECKING:
    from torch import nn


def weights_file() -> Path:
    """Where `python -m cache_models.zoo.street train` leaves the last layer."""
    return cache_home() / "street.safetensors"


def street() -> tuple[nn.Module, ModelDescription]:
    """The counter.

    Raises:
        ModelReferenceError: its last layer has not been fitted here, or the extra is missing.
    """
    from cache_models.network.loading.weights import load_weights
    from cache_models.zoo.efficientnet_lite0 import PREPROCESSING, classifier
    from cache_models.zoo.street.occupancy import CLASSES

    if not weights_file().is_file():
        raise ModelReferenceError(
            f"{weights_file()} is not there; make it with "
            f"`python -m cache_models.zoo.street train vtest.avi`"
        )
    module: Any = classifier(len(CLASSES))
    module.head.load_state_dict(load_weights(weights_file()))
    return module, ModelDescription((3, 224, 224), CLASSES, PREPROCESSING)
