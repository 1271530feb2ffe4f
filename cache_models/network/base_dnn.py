"""Load the user's base DNN by reference.

A reference is one of

- `default`: the shipped ResNet-18 on Fashion-MNIST;
- `torchvision:<builder>[?weights=<name or file>&key=value…]`: a torchvision classifier, as
  `network.loading.torchvision_models` makes it;
- `<package.module>:<factory>`: a function without arguments that returns the module and a
  `ModelDescription`. `default` is short for one of these, like any other.

A module without weights of its own is initialised from a fixed seed, so that every process that
loads the same reference holds the same base DNN.
"""

import hashlib
import pkgutil
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from cache_models.errors import ModelReferenceError
from cache_models.network.adapters import adapted
from cache_models.network.description import ModelDescription
from cache_models.network.loading.probing import check_classifier

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

    def examples(self, rows: int) -> Tensor:
        """Inputs to try the module with, `(rows, *input_shape)` float32."""
        return torch.from_numpy(self.description.examples(rows))

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
        NotAClassifierError: its answers are no rows of finite scores, one a class, or not always
            the same; names the line of the module's code.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if reference.startswith("torchvision:"):
            from cache_models.network.loading import torchvision_models

            made = torchvision_models.make(reference.removeprefix("torchvision:"))
        elif ":" in (factory := NAMES.get(reference, reference)):
            made = _made_by(factory)
        else:
            raise ModelReferenceError(f"model {reference!r} is not {FORMS}.")
        return classifier(reference, *made)


def classifier(reference: str, module: nn.Module, description: ModelDescription) -> BaseDNN:
    """A module as a base DNN, checked to be a classifier of what it describes.

    Raises:
        ModelReferenceError: the module is no program in Python, or its weights have no values.
        NotAClassifierError: as of `load`.
    """
    module = _unwrapped(reference, module)
    if any(value.is_meta or is_lazy(value) for value in module.parameters()):
        raise ModelReferenceError(
            f"{reference} has weights without values: load them, with assign=True where the "
            f"module was made on the meta device, or run it once where it has lazy layers."
        )
    module = module.cpu().eval().float().requires_grad_(False)
    module = adapted(module, description)
    check_classifier(reference, module, description)
    return BaseDNN(reference, module, description)


def _unwrapped(reference: str, module: nn.Module) -> nn.Module:
    """Without what is around it in training: several GPUs, torch.compile, averages of weights."""
    match module:
        case nn.DataParallel() | nn.parallel.DistributedDataParallel() | AveragedModel():
            return _unwrapped(reference, module.module)
        case torch._dynamo.OptimizedModule():
            return _unwrapped(reference, module._orig_mod)
        case torch.jit.ScriptModule():
            raise ModelReferenceError(
                f"{reference} is a TorchScript program, which cannot be cut: make the module in "
                f"Python, and load the weights with load_state_dict(program.state_dict())."
            )
    return module


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
