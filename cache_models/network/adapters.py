"""What is put around a user's module, so that it takes one tensor and returns class scores.

Cut points keep the names that the user knows: see `known_path`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cache_models.errors import NotAClassifierError
from cache_models.network.description import ModelDescription


class Adapter(nn.Module):
    """A module around a user's."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module


class Scores(Adapter):
    """Of an output that holds more, the class scores alone.

    Args:
        key: of a dictionary, index in a tuple, or name of an attribute.
    """

    def __init__(self, module: nn.Module, key: str | int):
        super().__init__(module)
        self._key = key

    def forward(self, inputs: Tensor) -> Tensor:
        output = self.module(inputs)
        if isinstance(self._key, str) and not isinstance(output, Mapping):
            return getattr(output, self._key)
        return output[self._key]


class TokenInputs(Adapter):
    """Takes the rows of one tensor `(B, number of inputs, tokens)` as the module's inputs.

    Args:
        names: of the module's arguments, `(B, tokens)` int64 each.
    """

    def __init__(self, module: nn.Module, names: Sequence[str]):
        super().__init__(module)
        self._names = tuple(names)

    def forward(self, inputs: Tensor) -> Any:
        return self.module(**dict(zip(self._names, inputs.long().unbind(1), strict=True)))


def known_path(root: nn.Module, path: str) -> str:
    """The path of a module in `root` as the user knows it, who knows of no adapters."""
    while isinstance(root, Adapter):
        root, path = root.module, path.removeprefix("module").removeprefix(".")
    return path


def adapted(module: nn.Module, description: ModelDescription) -> nn.Module:
    """`module` as one that takes one tensor and returns class scores; itself where it is one.

    Where its output holds more, the scores are what is named `logits`, or else the one `(B, K)`
    tensor in it.

    Raises:
        NotAClassifierError: there is none, or more than one that may be meant.
    """
    if description.token_inputs:
        module = TokenInputs(module, description.token_inputs)
    try:
        with torch.inference_mode():
            output = module(torch.from_numpy(description.examples(2)))
    except Exception:  # said by who checks the module
        return module
    if isinstance(output, Tensor):
        return module
    parts = _parts(output)
    like_scores = [
        key for key, value in parts.items()
        if isinstance(value, Tensor) and tuple(value.shape) == (2, len(description.classes))
    ]  # fmt: skip
    if "logits" in parts:
        return Scores(module, "logits")
    if len(like_scores) == 1:
        return Scores(module, like_scores[0])
    listed = ", ".join(f"{key}: {_form(value)}" for key, value in parts.items()) or _form(output)
    raise NotAClassifierError(
        f"the module returned {len(like_scores)} tensors that may be the scores of "
        f"{len(description.classes)} classes, among ({listed}). Name the scores `logits`, or wrap "
        f"the module so that it returns them alone."
    )


def _parts(output: Any) -> dict[str | int, Any]:
    if isinstance(output, Mapping):
        return dict(output)
    if hasattr(output, "_fields"):
        return output._asdict()
    if isinstance(output, tuple | list):
        return dict(enumerate(output))
    return dict(vars(output)) if hasattr(output, "__dict__") else {}


def _form(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
