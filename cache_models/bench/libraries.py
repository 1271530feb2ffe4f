"""Classifiers of three libraries, with random weights, to try as base DNNs.

Each has a name such as `timm:vit_tiny_patch16_224`, `transformers:Bert` or `resnet50`, which is
torchvision's. timm and transformers are extras of the tests.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torchvision import models as torchvision

from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription
from cache_models.network.loading import torchvision_models

CLASSES = ("a", "b", "c", "d", "e")
TIMM: dict[str, tuple[int, dict[str, Any]]] = {
    "vit_tiny_patch16_224": (64, {"depth": 3, "img_size": 64}),
    "deit_tiny_distilled_patch16_224": (64, {"depth": 3, "img_size": 64}),
    "eva02_tiny_patch14_224": (56, {"depth": 3, "img_size": 56}),
    "swin_tiny_patch4_window7_224": (56, {"depths": (1, 1), "num_heads": (1, 2), "embed_dim": 16,
                                          "img_size": 56}),
    "convnext_atto": (64, {"depths": (1, 1, 1, 1)}),
    "mixer_s32_224": (64, {"img_size": 64}),
    "crossvit_9_240": (240, {"depth": ((1, 1, 0), (1, 1, 0), (1, 1, 0))}),
    "twins_svt_small": (64, {"depths": (1, 1, 1, 1), "img_size": 64}),
    "efficientvit_b0": (64, {}),
    "mobilenetv4_conv_small": (64, {}),
}  # fmt: skip
"""Ten architectures: the side of an input and the options that make each small."""
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
WORDS = SMALL | {"vocab_size": 100, "max_position_embeddings": 64}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "ViT": SMALL | {"image_size": 32, "patch_size": 8},
    "Dinov2": SMALL | {"image_size": 32, "patch_size": 8},
    "Swin": {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1],
             "num_heads": [1, 2], "window_size": 4},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "PvtV2": {"image_size": 64, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4,
              "num_attention_heads": [1, 1, 2, 2]},
    "Bert": WORDS,
    "DistilBert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64, "vocab_size": 100},
    "Roberta": WORDS,
    "Albert": WORDS | {"embedding_size": 16},
    "ModernBert": WORDS | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
                           "cls_token_id": 1, "sep_token_id": 2},
}  # fmt: skip
"""Ten architectures: the values of the configuration that make each small."""
BASE = {"Albert": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}}
"""What makes it of the size that people use, where the configuration's default is a giant."""
SIDE, FEW_PIXELS = 224, 32
TOKENS, FEW_TOKENS = 128, 16
"""Of an input, where the architecture does not say; and where it is small."""
TOKEN_INPUTS = ("input_ids", "attention_mask")

Made = tuple[nn.Module, ModelDescription]


def names(library: str) -> list[str]:
    """Of all classifiers of torchvision, the smallest first; or of ten architectures."""
    match library:
        case "torchvision":
            return sorted(torchvision.list_models(module=torchvision), key=weights)
        case "timm":
            return [f"timm:{builder}" for builder in TIMM]
    return [f"transformers:{kind}" for kind in TRANSFORMERS]


def check(name: str) -> None:
    """
    Raises:
        ModelReferenceError: there is no such library, or it is not installed; or it is torchvision,
            and has no such classifier.
    """
    library, inner = _parsed(name)
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise ModelReferenceError(f"{name} needs pip install {library} ({error})") from error
    if library == "torchvision" and inner not in torchvision.list_models(module=torchvision):
        raise ModelReferenceError(
            f"torchvision has no classifier {inner!r}; others' are timm:… and transformers:…"
        )


def make(name: str, side: int = SIDE, small: bool = False) -> Made:
    """A classifier, and what it takes.

    Args:
        side: of the input of one of torchvision's, in pixels, which is made larger where the
            builder takes no such; others have their own.
        small: in the form of `TIMM` or `TRANSFORMERS`.

    Raises:
        ModelReferenceError: its library cannot make it.
    """
    library, inner = _parsed(name)
    try:
        return _MAKERS[library](inner, side, small)
    except Exception as error:  # each library has its own
        raise ModelReferenceError(f"{library} cannot make {inner!r}: {error}") from error


def weights(name: str) -> int:
    """How many a classifier has, without making them; 0 where that cannot be known."""
    library, inner = _parsed(name)
    if library == "torchvision":
        return torchvision.get_model_weights(inner)["DEFAULT"].meta["num_params"]
    try:
        with torch.device("meta"):
            module, _ = make(name)
    except ModelReferenceError:
        return 0
    return sum(value.numel() for value in module.parameters())


def _parsed(name: str) -> tuple[str, str]:
    library, colon, inner = name.partition(":")
    library, inner = (library, inner) if colon else ("torchvision", name)
    if library not in _MAKERS:
        raise ModelReferenceError(f"{name}: {library!r} is none of {', '.join(_MAKERS)}")
    return library, inner


def _torchvision(builder: str, side: int, small: bool) -> Made:
    if of_patches := builder.startswith("vit_"):
        patch = int(builder.rpartition("_")[2])
        side = max(2, side // patch) * patch
    else:
        side = max(side, *torchvision.get_model_weights(builder)["DEFAULT"].meta["min_size"])
    size = f"?image_size={side}" if of_patches else ""
    module, description = torchvision_models.make(f"{builder}{size}")
    return module, replace(description, input_shape=(3, side, side), preprocessing=None)


def _timm(builder: str, side: int, small: bool) -> Made:
    import timm

    small_side, options = TIMM[builder] if small else (None, {})
    module = timm.create_model(builder, num_classes=len(CLASSES), **options)
    side = small_side or timm.data.resolve_model_data_config(module)["input_size"][-1]
    return module, ModelDescription((3, side, side), CLASSES)


def _transformers(kind: str, side: int, small: bool) -> Made:
    import transformers

    options = TRANSFORMERS[kind] if small else BASE.get(kind, {})
    config = getattr(transformers, f"{kind}Config")(num_labels=len(CLASSES), **options)
    if of_pictures := getattr(transformers, f"{kind}ForImageClassification", None):
        side = getattr(config, "image_size", FEW_PIXELS if small else SIDE)
        side = side[0] if isinstance(side, tuple | list) else side
        return of_pictures(config), ModelDescription((3, side, side), CLASSES)
    of_texts = getattr(transformers, f"{kind}ForSequenceClassification")
    shape = (len(TOKEN_INPUTS), FEW_TOKENS if small else TOKENS)
    return of_texts(config), ModelDescription(shape, CLASSES, token_inputs=TOKEN_INPUTS)


_MAKERS: dict[str, Callable[[str, int, bool], Made]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}
