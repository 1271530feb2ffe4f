"""Architectures of timm and transformers, as small as they can be made, with random weights.

Each is named by a reference, such as `tests.architectures:timm_vit`; both libraries are extras of
the tests.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from cache_models.network.description import ModelDescription

CLASSES = ("a", "b", "c", "d", "e")
TOKENS = 16
TIMM: dict[str, tuple[str, int, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", 64, {"depth": 3, "img_size": 64}),
    "deit": ("deit_tiny_distilled_patch16_224", 64, {"depth": 3, "img_size": 64}),
    "eva02": ("eva02_tiny_patch14_224", 56, {"depth": 3, "img_size": 56}),
    "swin": ("swin_tiny_patch4_window7_224", 56, {"depths": (1, 1), "num_heads": (1, 2),
                                                  "embed_dim": 16, "img_size": 56}),
    "convnext": ("convnext_atto", 64, {"depths": (1, 1, 1, 1)}),
    "mixer": ("mixer_s32_224", 64, {"img_size": 64}),
    "crossvit": ("crossvit_9_240", 240, {"depth": ((1, 1, 0), (1, 1, 0), (1, 1, 0))}),
    "twins": ("twins_svt_small", 64, {"depths": (1, 1, 1, 1), "img_size": 64}),
    "efficientvit": ("efficientvit_b0", 64, {}),
    "mobilenetv4": ("mobilenetv4_conv_small", 64, {}),
}  # fmt: skip
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
VISION: dict[str, tuple[int, dict[str, Any]]] = {
    "ViT": (32, SMALL | {"image_size": 32, "patch_size": 8}),
    "Dinov2": (32, SMALL | {"image_size": 32, "patch_size": 8}),
    "Swin": (32, {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1],
                  "num_heads": [1, 2], "window_size": 4}),
    "ResNet": (32, {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}),
    "PvtV2": (64, {"image_size": 64, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4,
                   "num_attention_heads": [1, 1, 2, 2]}),
}  # fmt: skip
WORDS = SMALL | {"vocab_size": 100, "max_position_embeddings": 64}
TEXT: dict[str, dict[str, Any]] = {
    "Bert": WORDS,
    "DistilBert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64, "vocab_size": 100},
    "Roberta": WORDS,
    "Albert": WORDS | {"embedding_size": 16},
    "ModernBert": WORDS | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
                           "cls_token_id": 1, "sep_token_id": 2},
}  # fmt: skip

Made = tuple[nn.Module, ModelDescription]


def _timm(name: str) -> Made:
    import timm

    builder, side, options = TIMM[name]
    module = timm.create_model(builder, pretrained=False, num_classes=len(CLASSES), **options)
    return module, ModelDescription((3, side, side), CLASSES)


def _vision(name: str) -> Made:
    import transformers

    side, options = VISION[name]
    config = getattr(transformers, f"{name}Config")(num_labels=len(CLASSES), **options)
    module = getattr(transformers, f"{name}ForImageClassification")(config)
    return module, ModelDescription((3, side, side), CLASSES)


def _text(name: str) -> Made:
    import transformers

    config = getattr(transformers, f"{name}Config")(num_labels=len(CLASSES), **TEXT[name])
    module = getattr(transformers, f"{name}ForSequenceClassification")(config)
    inputs = ("input_ids", "attention_mask")
    return module, ModelDescription((len(inputs), TOKENS), CLASSES, token_inputs=inputs)


FACTORIES: dict[str, Callable[[], Made]] = {
    **{f"timm_{name}": partial(_timm, name) for name in TIMM},
    **{f"transformers_{name}": partial(_vision, name) for name in VISION},
    **{f"transformers_{name}": partial(_text, name) for name in TEXT},
}
globals().update(FACTORIES)
