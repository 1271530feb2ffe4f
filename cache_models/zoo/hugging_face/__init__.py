"""Classifiers of the library transformers, unmodified, as base DNNs."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Interpolation, Preprocessing
from cache_models.network.tokens import Tokens

FILTERS: tuple[Interpolation, ...] = (
    "nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"
)  # fmt: skip
"""By Pillow's numbers, which configurations of preprocessors have."""
TEXT_INPUTS = ("input_ids", "attention_mask")
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}

Made = tuple[nn.Module, ModelDescription]


def classifier(folder: Path, tokens: int = 128) -> Made:
    """What `save_pretrained` has written to `folder`: model and preprocessor, or tokenizer.

    Args:
        tokens: at which texts are cut.

    Raises:
        ModelReferenceError: it is no classifier of pictures or of texts.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    classes = tuple(config.id2label[i] for i in range(config.num_labels))
    architecture = (config.architectures or ["none"])[0]
    if not architecture.endswith(("ForImageClassification", "ForSequenceClassification")):
        raise ModelReferenceError(
            f"{folder} holds {architecture}; save a ForImageClassification or a "
            f"ForSequenceClassification there"
        )
    module = getattr(transformers, architecture).from_pretrained(
        folder, local_files_only=True, use_safetensors=True
    )
    if architecture.endswith("ForSequenceClassification"):
        reader = Tokens(str(folder.absolute() / "tokenizer.json"), tokens, TEXT_INPUTS)
        return module, ModelDescription(
            (len(TEXT_INPUTS), tokens), classes, reader=reader, token_inputs=TEXT_INPUTS
        )
    preprocessing = preprocessing_of(json.loads((folder / "preprocessor_config.json").read_text()))
    shape = (config.num_channels, *preprocessing.crop_size)
    return module, ModelDescription(shape, classes, preprocessing)


def preprocessing_of(config: dict[str, Any]) -> Preprocessing:
    """What a `preprocessor_config.json` says of how a picture becomes an input."""
    size, crop = config["size"], config.get("crop_size", {})
    cropped = bool(crop) and config.get("do_center_crop", False)
    if not cropped and "height" not in size:
        raise ModelReferenceError(
            f"a preprocessor of size {size} without do_center_crop makes inputs of many shapes"
        )
    final = crop if cropped else size
    height, width = (final, final) if isinstance(final, int) else (final["height"], final["width"])
    shorter = size.get("shortest_edge") if cropped else None
    if cropped and shorter is None:
        raise ModelReferenceError(
            f"a preprocessor that crops must have a shortest_edge, not {size}"
        )
    return Preprocessing(
        (height, width),
        tuple(config["image_mean"]),
        tuple(config["image_std"]),
        resize_size=shorter,
        interpolation=FILTERS[config.get("resample", 2)],
    )


def vit() -> Made:
    """A small ViT with random weights, to try."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(**SMALL | {"image_size": 32, "patch_size": 8, "num_labels": 5})
    description = ModelDescription(
        (3, 32, 32), tuple("abcde"), Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3)
    )
    return ViTForImageClassification(config), description


def bert() -> Made:
    """A small BERT with random weights, to try; it takes ids and mask of 16 tokens."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        **SMALL | {"vocab_size": 100, "max_position_embeddings": 16, "num_labels": 5}
    )
    description = ModelDescription((2, 16), tuple("abcde"), token_inputs=TEXT_INPUTS)
    return BertForSequenceClassification(config), description
