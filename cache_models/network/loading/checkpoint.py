"""What a file of weights holds: state dicts, found without reading their tensors.

A file is `.safetensors`, or what `torch.save` wrote: a state dict, or a checkpoint with one or more
in it, beside an optimizer's and whatever else. Tensors are mapped, not read: they take memory when
somebody reads them, and on the CPU, wherever they were saved.
"""

import argparse
import re
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.serialization import config as serialization

from cache_models.errors import ModelReferenceError

StateDict = Mapping[str, Tensor]
Opener = Callable[[], Mapping[str, StateDict]]
"""Opens a file anew: the state dicts in it, by their keys in the checkpoint (`ema.state_dict`); one
that is the whole file has the key ''."""

SAVE = "safetensors.torch.save_file(model.state_dict(), path)"
DEPTH = 3
"""How far inside a checkpoint state dicts are looked for."""


def open_file(file: Path) -> Mapping[str, StateDict]:
    """The state dicts in `file`, by key.

    Raises:
        ModelReferenceError: there is no such file, or no state dict in it.
    """
    if not file.is_file():
        raise ModelReferenceError(f"weights file {file} does not exist.")
    try:
        if file.suffix == ".safetensors":
            held: Any = load_file(file)
        else:
            held = mapped(partial(torch.load, file, map_location="cpu", weights_only=True))
    except Exception as error:  # of many kinds
        raise ModelReferenceError(f"weights file {file} {_why(file, error)}") from error
    if not (found := state_dicts(held)):
        raise ModelReferenceError(
            f"weights file {file} holds no state dict ({_described(held)}). Save one with {SAVE}."
        )
    return found


def state_dicts(held: Any, depth: int = DEPTH) -> dict[str, StateDict]:
    """Those in what was saved, by key."""
    if not isinstance(held, Mapping) or not all(isinstance(name, str) for name in held):
        return {}
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    return {
        **({"": tensors} if tensors else {}),
        **{
            ".".join(filter(None, (name, key))): state
            for name, value in held.items()
            if depth
            for key, state in state_dicts(value, depth - 1).items()
        },
    }


def mapped(load: Callable[[], Any]) -> Any:
    """What `load` returns, by way of `torch.load`, with tensors mapped where they can be."""
    # Training scripts keep their arguments in checkpoints; to make a Namespace does nothing.
    with torch.serialization.safe_globals([argparse.Namespace]):
        try:
            with serialization.patch({"load.mmap": True}):  # type: ignore[attr-defined]
                return load()
        except RuntimeError as error:
            if "mmap can only be used" not in str(error):
                raise
            return load()  # a file of before PyTorch 1.6


def _why(file: Path, error: Exception) -> str:
    """It cannot be read, and what to do."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            parts = {Path(name).name for name in archive.namelist()}
        if "constants.pkl" in parts:
            return (
                "is a TorchScript program, which would have to be run. Save its weights with "
                "safetensors.torch.save_file(torch.jit.load(path).state_dict(), new_path)."
            )
    if file.read_bytes()[:23] == b"version https://git-lfs":
        return "is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`."
    if unknown := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"holds more than tensors ({unknown[1]}), which weights_only=True does not load: a "
            f"pickle could run anything. Where you trust it, save its weights alone: {SAVE}."
        )
    reason = str(error).strip().partition("\n")[0][:200]
    kind = "" if isinstance(error, SafetensorError) else " with weights_only=True"
    return (
        f"cannot be read as safetensors or as a torch.save of a state dict{kind} ({reason}). Save "
        f"it again with {SAVE}."
    )


def _described(held: Any) -> str:
    if isinstance(held, Mapping):
        return f"its keys: {', '.join(map(str, list(held)[:5]))}" if held else "it is empty"
    return f"but a {type(held).__name__}"
