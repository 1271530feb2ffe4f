"""Example: which of ten words was said in a second of sound. See README.md in this folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cache_models.data.datasets import cache_home
from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription

if TYPE_CHECKING:
    from torch import nn


def weights_file() -> Path:
    """Where `python -m cache_models.zoo.keywords train` leaves the weights."""
    return cache_home() / "keywords.safetensors"


def keywords() -> tuple[nn.Module, ModelDescription]:
    """The keyword spotter.

    Raises:
        ModelReferenceError: it has not been trained here.
    """
    from cache_models.network.loading.weights import load_weights
    from cache_models.zoo.keywords.network import KeywordSpotter
    from cache_models.zoo.keywords.speech import CLASSES, SECOND

    if not weights_file().is_file():
        raise ModelReferenceError(
            f"{weights_file()} is not there; make it with "
            f"`python -m cache_models.zoo.keywords train`"
        )
    module = KeywordSpotter()
    module.load_state_dict(load_weights(weights_file()))
    return module, ModelDescription((SECOND.samples,), CLASSES, reader=SECOND)
