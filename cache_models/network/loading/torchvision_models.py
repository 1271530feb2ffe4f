"""`torchvision:<builder>?…`: a classifier of torchvision's, with the weights that are asked for.

What torchvision's builders do for weights of their own is done here for weights by name and by
file alike: see `_options` and `_as_named_now`.
"""

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import parse_qsl, urlparse

from torch import nn
from torchvision import models as zoo
from torchvision.models import WeightsEnum

from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription
from cache_models.network.loading.checkpoint import (
    Opener,
    StateDict,
    mapped,
    open_file,
    state_dicts,
)
from cache_models.network.loading.weights import copy_into, fitting
from cache_models.network.preprocessing import Preprocessing

WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
"""Builders that take `aux_logits`, `transform_input` and `init_weights`."""
AUXILIARY_HEAD = re.compile(r"(^|\.)(aux1|aux2|AuxLogits)\.")
"""In the names of their weights; only training uses such heads."""
OLD_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""In the names of a DenseNet's weights, from the time when a module's name could hold a dot."""


@dataclass
class _Asked:
    """What a reference says. `options` are the builder's own."""

    builder: str
    weights: str | None
    preset: str | None
    key: str | None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def presets(self) -> type[WeightsEnum]:
        return zoo.get_model_weights(self.builder)


def make(builder_and_options: str) -> tuple[nn.Module, ModelDescription]:
    """The module, with the weights that are asked for or random ones, and what it takes.

    Args:
        builder_and_options: `resnet50?weights=DEFAULT&num_classes=3`. `weights` is the name of a
            preset, or a file; `preset` says which of torchvision's presets a file belongs to, where
            its name or its content does not; `key` names the state dict in a checkpoint of several.

    Raises:
        ModelReferenceError: the builder, its options or the weights cannot be used.
    """
    asked = _parse(builder_and_options)
    preset, opener = _source(asked)
    options = _options(asked, preset, random=opener is None) | asked.options
    try:
        module = zoo.get_model(asked.builder, weights=None, **options)
    except (TypeError, ValueError) as error:
        raise ModelReferenceError(
            f"torchvision's {asked.builder} does not take these options ({error})."
        ) from error
    if opener is not None:
        opener = partial(_as_named_now, opener)
        key, names = fitting(module, opener(), f"{asked.builder}: {asked.weights}", asked.key)
        copy_into(module, opener, key, names)
    return module, _describe(options, preset or asked.presets["DEFAULT"])


def preprocessing_of(preset: WeightsEnum, size: int | None = None) -> Preprocessing:
    """What a preset does to a picture.

    Args:
        size: of the input, in pixels, where it is not the preset's.
    """
    transforms = preset.transforms()
    (crop,), (resize,) = transforms.crop_size, transforms.resize_size
    if size is not None:
        crop, resize = size, round(resize * size / crop)
    return Preprocessing(
        (crop, crop),
        tuple(transforms.mean),
        tuple(transforms.std),
        resize_size=resize,
        interpolation=transforms.interpolation.value,
    )


def _parse(builder_and_options: str) -> _Asked:
    builder, _, query = builder_and_options.partition("?")
    if builder not in (builders := zoo.list_models(module=zoo)):
        raise ModelReferenceError(
            f"torchvision has no classifier {builder!r}. It has: {', '.join(builders)}."
        )
    said = dict(parse_qsl(query, keep_blank_values=True))
    named = {name: said.pop(name, None) for name in ("weights", "preset", "key")}
    return _Asked(builder, **named, options={name: _literal(text) for name, text in said.items()})


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _source(asked: _Asked) -> tuple[WeightsEnum | None, Opener | None]:
    """The preset that the weights belong to, None if they are somebody's own; and what opens them,
    None for random ones."""
    presets = asked.presets.__members__
    if asked.preset is not None and asked.preset not in presets:
        raise ModelReferenceError(
            f"{asked.builder} has no preset {asked.preset!r}: name one of {', '.join(presets)}."
        )
    if asked.weights is None:
        if asked.preset or asked.key:
            raise ModelReferenceError(
                f"{asked.builder}: preset and key say what weights=<file> holds; name the file too."
            )
        return None, None
    if asked.weights in presets:
        preset = presets[asked.weights]
        return preset, partial(_fetched, preset)
    file = Path(asked.weights).expanduser()
    if not file.suffix and not file.is_file():
        raise ModelReferenceError(
            f"{asked.builder} has no weights {asked.weights!r}: name one of {', '.join(presets)}, "
            f"or a .safetensors or .pth file."
        )
    opener = partial(open_file, file)
    opener()  # or an error, before its content is looked at
    preset = presets[asked.preset] if asked.preset else _published(asked.presets, file)
    return preset, opener


def _published(presets: type[WeightsEnum], file: Path) -> WeightsEnum | None:
    """The preset whose weights these are: torchvision's names of files end with their SHA-256."""
    names = {PurePath(urlparse(preset.url).path).stem: preset for preset in presets}
    if file.stem in names:
        return names[file.stem]
    if file.suffix == ".safetensors":
        return None
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return next((names[name] for name in names if digest.startswith(name.rpartition("-")[2])), None)


def _fetched(preset: WeightsEnum) -> Mapping[str, StateDict]:
    """As of `Opener`; downloaded where this machine has not got it yet."""
    return state_dicts(
        mapped(
            partial(
                preset.get_state_dict,
                progress=True,
                check_hash=True,
                weights_only=True,
                map_location="cpu",
            )
        )
    )


def _options(asked: _Asked, preset: WeightsEnum | None, random: bool) -> dict[str, Any]:
    """What weights ask of the builder, unless the reference says otherwise."""
    options: dict[str, Any] = {}
    if preset is not None:
        options["num_classes"] = len(preset.meta["categories"])
        if asked.builder.startswith("vit_"):
            options["image_size"] = preset.meta["min_size"][0]
    if asked.builder not in WITH_AUXILIARY_HEADS:
        return options
    if random:
        return {"init_weights": True}  # as it is by default, but for a warning
    if preset is not None:
        options["transform_input"] = True
    elif "transform_input" not in asked.options:
        raise ModelReferenceError(
            f"{asked.weights} does not say how {asked.builder} was trained: add "
            f"transform_input=True if that began with torchvision's weights, transform_input=False "
            f"if not, or preset=… if these are torchvision's own: one of "
            f"{', '.join(asked.presets.__members__)}."
        )
    return options | {"aux_logits": False, "init_weights": False}


def _as_named_now(opener: Opener) -> Mapping[str, StateDict]:
    """Without auxiliary heads, and with the names that torchvision gives today."""
    return {
        key: {
            OLD_DENSE_LAYER.sub(r"\1\2", name): value
            for name, value in state.items()
            if not AUXILIARY_HEAD.search(name)
        }
        for key, state in opener().items()
    }


def _describe(options: dict[str, Any], preset: WeightsEnum) -> ModelDescription:
    preprocessing = preprocessing_of(preset, options.get("image_size"))
    categories = tuple(preset.meta["categories"])
    count = options.get("num_classes", len(categories))
    classes = categories if count == len(categories) else tuple(f"class {i}" for i in range(count))
    return ModelDescription((3, *preprocessing.crop_size), classes, preprocessing)
