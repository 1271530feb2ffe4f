"""Grow a deeper base DNN from the shipped ResNet-18, and fine-tune it.

New residual blocks whose last normalisation weight starts at zero are the identity (Goyal et al.
2017; Net2Net: Chen, Goodfellow and Shlens 2016), so that training goes on from the ResNet-18's own
answers. The new blocks learn at a higher rate than those that have learned already, and highest
those values of theirs that start at zero: until these have grown the others learn next to nothing,
because their gradients are multiplied by them.

How much they have come to matter is measured by taking them out again: the share of answers that
change, all other weights as fine-tuned.
"""

import copy
import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torchvision import models

from cache_models.data.datasets import FASHION_CLASSES, fashion_mnist
from cache_models.zoo.fashion import WEIGHTS, default
from cache_models.zoo.pretrain import (
    OPTIMIZER,
    TRAIN_IMAGES,
    Stage,
    answers,
    fit,
    publish,
    round_to_fp16,
)

RECIPE = (Stage(size=224, images=12_800, batch=16, lr=0.006),)
NEW_LR, ZERO_LR = 10.0, 100.0
"""Of new blocks, and of their last normalisation, in learning rates of the others."""
STAND_IN_BELOW = 0.05
REMOVAL_IMAGES = 2_000
"""Test images on which the share of changed answers is measured."""


def grow(name: str, shallow: nn.Module) -> tuple[nn.Module, list[str]]:
    """torchvision's ResNet `name` that computes what `shallow` does, and its new blocks' names.

    Args:
        shallow: a torchvision ResNet of the same kind of blocks, and no more of them in any layer.
    """
    classes = shallow.fc.out_features
    deep = models.get_model(name, weights=None, num_classes=classes, zero_init_residual=True)
    missing = deep.load_state_dict(shallow.state_dict(), strict=False).missing_keys
    return deep, list(dict.fromkeys(".".join(key.split(".")[:2]) for key in missing))


def without(module: nn.Module, blocks: list[str]) -> nn.Module:
    """A copy in which the blocks of these names do nothing."""
    module = copy.deepcopy(module)
    for name in blocks:
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, nn.Identity())
    return module


def pretrain(name: str, out: Path, seed: int = 0, recipe: tuple[Stage, ...] = RECIPE) -> dict:
    """Grow, fine-tune, test, and write `out` and its card, as `cache_models.zoo.pretrain` does.

    Returns:
        The card; beside the recipe `test_accuracy`, `resnet18_test_accuracy`, and
        `changed_without_new_blocks`, below 5 % of which it calls the model a latency stand-in.
    """
    torch.manual_seed(seed)
    model, new_blocks = grow(name, default()[0])
    bf16 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    minutes = fit(model, _groups(model, new_blocks), out, seed, recipe, bf16)
    weights = round_to_fp16(model)

    images, labels = fashion_mnist(train=False)
    said = answers(model, images, recipe[-1].size)
    fewer = images[:REMOVAL_IMAGES]
    removed = answers(without(model, new_blocks), fewer, recipe[-1].size)
    changed = float((removed != said[: len(fewer)]).mean())
    card = {
        "model": f"torchvision.models.{name}(num_classes={len(FASHION_CLASSES)})",
        "grown_from": "the shipped ResNet-18",
        "new_blocks": new_blocks,
        "data": f"Fashion-MNIST (MIT licence), first {TRAIN_IMAGES:,} training images",
        "recipe": [asdict(stage) for stage in recipe],
        "optimizer": f"{OPTIMIZER}; new blocks at {NEW_LR:g} times the learning rate, "
        f"their last normalisations at {ZERO_LR:g} times",
        "precision": f"{'bfloat16' if bf16 else 'float32'} in convolutions, float32 elsewhere",
        "seed": seed,
        "minutes": round(minutes, 1),
        "test_accuracy": float((said == labels).mean()),
        "resnet18_test_accuracy": json.loads(WEIGHTS.with_suffix(".json").read_text())[
            "test_accuracy"
        ],
        "changed_without_new_blocks": changed,
        "changed_measured_on": f"the first {len(fewer):,} test images",
        "latency_stand_in": is_stand_in(changed),
        "classes": list(FASHION_CLASSES),
    }
    publish(weights, card, out)
    return card


def _groups(model: nn.Module, new_blocks: list[str]) -> list[dict]:
    groups = {1.0: [], NEW_LR: [], ZERO_LR: []}
    for name, parameter in model.named_parameters():
        is_new = ".".join(name.split(".")[:2]) in new_blocks
        scale = (ZERO_LR if ".bn2." in name else NEW_LR) if is_new else 1.0
        groups[scale].append(parameter)
    return [{"params": params, "lr_scale": scale} for scale, params in groups.items()]


def is_stand_in(changed: float) -> bool:
    """Whether the new blocks cost time and little else: a share of answers that change without."""
    return changed < STAND_IN_BELOW


def describe_card(card: dict) -> str:
    """One line for a person; says where the grown model is less than it should be."""
    accuracy, before = card["test_accuracy"], card["resnet18_test_accuracy"]
    text = (
        f"{accuracy:.2%} of the test images right (ResNet-18: {before:.2%}); without the new "
        f"blocks {card['changed_without_new_blocks']:.1%} of the answers change"
    )
    if accuracy < before:
        text += "; LESS accurate than the ResNet-18"
    if card["latency_stand_in"]:
        text += "; a latency stand-in: its new blocks hardly matter"
    return text
