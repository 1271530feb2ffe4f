"""Load the user's base DNN by reference.

A reference is one of

- `default`: the shipped ResNet-18 on Fashion-MNIST;
- `torchvision:<builder>[?weights=<name or file>&key=value…]`: a torchvision classifier;
- `<package.module>:<factory>`: a function without arguments that returns the module and a
  `ModelDescription`. `default` is short for one of these, like any other.

A module without weights of its own is initialised from a fixed seed, so that every process that
loads the same reference holds the same base DNN.
"""

import ast
import hashlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cache_models.errors import ModelReferenceError, NotAClassifierError
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing

NAMES = {"default": "cache_models.zoo.fashion:default"}
"""Short names of factories."""
FORMS = (
    "'default', 'torchvision:<builder>[?weights=<name or file>&key=value]' or "
    "'<package.module>:<factory>'"
)


@dataclass(frozen=True)
class BaseDNN:
    """A pretrained classifier in float32 and evaluation mode; its answers are the truth."""

    reference: str
    module: nn.Module
    description: ModelDescription

    def inputs(self, given: np.ndarray) -> Tensor:
        """Decoded images `(B, h, w, C)` uint8, or ready inputs, → `(B, *input_shape)` float32."""
        return torch.from_numpy(self.description.inputs(given))

    def fingerprint(self) -> str:
        """SHA-256 over the names, shapes and values of all parameters and buffers."""
        digest = hashlib.sha256()
        for name, value in sorted(self.module.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def load(reference: str) -> BaseDNN:
    """The base DNN that `reference` names, checked to be a classifier of what it describes.

    Raises:
        ModelReferenceError: the reference, its builder, options or weights cannot be used.
        NotAClassifierError: the output for two zero inputs is not `(2, K)` finite scores.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if reference.startswith("torchvision:"):
            module, description = _torchvision(reference.removeprefix("torchvision:"))
        elif ":" in (factory := NAMES.get(reference, reference)):
            module, description = _made_by(factory)
        else:
            raise ModelReferenceError(f"model {reference!r} is not {FORMS}.")
    module = module.eval().float().requires_grad_(False)
    _check_classifier(reference, module, description)
    return BaseDNN(reference, module, description)


def load_weights(file: Path) -> dict[str, Tensor]:
    """A state dict from a `.safetensors` file, or from a `torch.save` of plain tensors."""
    if not file.is_file():
        raise ModelReferenceError(f"weights file {file} does not exist.")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelReferenceError(
            f"weights file {file} cannot be read as safetensors or as a torch.save of a state "
            f"dict with weights_only=True ({error}). Save it again with "
            f"safetensors.torch.save_file(model.state_dict(), path)."
        ) from error


def _torchvision(builder_and_options: str) -> tuple[nn.Module, ModelDescription]:
    import torchvision.models as zoo

    builder, _, query = builder_and_options.partition("?")
    options = {key: _literal(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    weights_name = options.pop("weights", None)
    if builder not in zoo.list_models(module=zoo):
        raise ModelReferenceError(
            f"torchvision has no classifier {builder!r}. It has: "
            f"{', '.join(zoo.list_models(module=zoo))}."
        )
    known = zoo.get_model_weights(builder)
    preset = known["DEFAULT"]
    weights = None
    if weights_name in known.__members__:
        preset = weights = known[weights_name]
    if weights is not None and "num_classes" not in options:
        options["num_classes"] = len(weights.meta["categories"])
    try:
        module = zoo.get_model(builder, weights=None, **options)
    except (TypeError, ValueError) as error:
        raise ModelReferenceError(
            f"torchvision's {builder} does not take these options ({error})."
        ) from error
    if weights is not None:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
        _load_state(module, state, f"{builder} weights {weights_name}")
    elif weights_name is not None:
        if not Path(weights_name).suffix:
            raise ModelReferenceError(
                f"{builder} has no weights {weights_name!r}: name one of "
                f"{', '.join(known.__members__)}, or a .safetensors or .pth file."
            )
        _load_state(module, load_weights(Path(weights_name)), weights_name)

    transforms = preset.transforms()
    (crop,), (resize,) = transforms.crop_size, transforms.resize_size
    preprocessing = Preprocessing(
        (crop, crop), tuple(transforms.mean), tuple(transforms.std), resize_size=resize
    )
    categories = tuple(preset.meta["categories"])
    count = options.get("num_classes", len(categories))
    classes = categories if count == len(categories) else tuple(f"class {i}" for i in range(count))
    return module, ModelDescription((3, crop, crop), classes, preprocessing)


def _made_by(reference: str) -> tuple[nn.Module, ModelDescription]:
    try:
        factory = pkgutil.resolve_name(reference)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelReferenceError(
            f"model {reference!r} cannot be imported ({error}). It may be {FORMS}; the package "
            f"must be on PYTHONPATH."
        ) from error
    try:
        made = factory()
    except Exception as error:
        raise ModelReferenceError(f"model {reference!r}: its factory failed ({error})") from error
    match made:
        case nn.Module() as module, ModelDescription() as description:
            return module, description
    raise ModelReferenceError(
        f"{reference} returned {type(made).__name__}; it must return (nn.Module, ModelDescription)."
    )


def _load_state(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ModelReferenceError(f"{source} does not fit the module: {error}") from error


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _check_classifier(reference: str, module: nn.Module, description: ModelDescription) -> None:
    shape = (2, *description.input_shape)
    try:
        with torch.inference_mode():
            scores = module(torch.zeros(shape))
    except Exception as error:
        raise NotAClassifierError(
            f"{reference} cannot run on a float32 tensor of shape {shape} ({error}). Correct "
            f"input_shape in its ModelDescription."
        ) from error
    expected = (2, len(description.classes))
    found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if found != expected:
        raise NotAClassifierError(
            f"{reference} returned {found} for an input of shape {shape}, not class scores of "
            f"shape {expected}. Wrap the module so that it returns one row of scores per input, "
            f"and give as many class names as there are scores."
        )
    if not torch.isfinite(scores).all():
        raise NotAClassifierError(f"{reference} returned NaN or infinite scores for zero inputs.")
