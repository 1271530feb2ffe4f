"""Where two runs of a module part: the first operation that does something else, and its line.

Two runs with the same first input, alone or with others, or twice, do the same operations with the
same results for it, if the module answers every input by itself.
"""

import linecache
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

TORCH = f"{Path(torch.__file__).parent}/"
UNFILLED = ("aten.empty", "aten.new_empty")
"""Operations whose results are whatever was in memory."""
AGREES_TO = 1e-3

Line = tuple[FrameType, int]


@dataclass(frozen=True)
class _Step:
    """An operation: the shape of its result, the size of the first input's part in it, and where
    it was called."""

    operation: str
    shape: tuple[int, ...] = ()
    size: float | None = None
    place: str = ""
    failed: bool = False


def where_they_part(module: nn.Module, some: Tensor, others: Tensor) -> str:
    """`, at <file>:<line> `<code>` in <module>`; nothing where no difference is seen.

    Args:
        some, others: batches with the same first input.
    """
    run, other_run = _run(module, some), _run(module, others)
    rows = len(some), len(others)
    for step, other in zip(run, other_run, strict=False):
        if not _same(step, other, rows):
            return f", at {step.place}"
    failed = bool(run) and run[-1].failed
    return f", at {run[-1].place}" if failed else ""


def last_operation(module: nn.Module, inputs: Tensor) -> str:
    """That made the output, such as `aten.addmm.default`."""
    return next((s.operation for s in reversed(_run(module, inputs)) if s.shape), "")


def _run(module: nn.Module, inputs: Tensor) -> list[_Step]:
    """What is done, in order; an error is the last step."""
    recorder = _Recorder(module, len(inputs))
    try:
        with torch.no_grad(), recorder:
            module(inputs.clone())
    except Exception as error:
        place = _place(_raising(error), recorder.names)
        recorder.steps.append(_Step(type(error).__name__, place=place, failed=True))
    return recorder.steps


class _Recorder(TorchDispatchMode):
    def __init__(self, module: nn.Module, rows: int):
        super().__init__()
        self.names = {id(part): name for name, part in module.named_modules()}
        self.rows = rows
        self.steps: list[_Step] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, list | tuple) and result else result
        shape: tuple[int, ...] = ()
        size = None
        if isinstance(first, Tensor):
            shape = tuple(first.shape)
            if not str(func).startswith(UNFILLED):
                size = _size_of_first(first, self.rows)
        place = _place(_calling(), self.names)
        self.steps.append(_Step(str(func), shape, size, place))
        return result


def _size_of_first(result: Tensor, rows: int) -> float | None:
    """Of the first input's part, which is at the beginning; None where it is not to be told."""
    if not result.dim() or not result.numel() or result.shape[0] % rows:
        return None
    return float(result[: result.shape[0] // rows].detach().double().abs().mean())


def _same(step: _Step, other: _Step, rows: tuple[int, int]) -> bool:
    if step.operation != other.operation or len(step.shape) != len(other.shape):
        return False
    for length, of_other in zip(step.shape, other.shape, strict=True):
        if length != of_other and length * rows[1] != of_other * rows[0]:
            return False
    if step.size is None or other.size is None or step.size != step.size:
        return True
    return abs(step.size - other.size) <= AGREES_TO * max(step.size, other.size) + 1e-9


def _calling() -> Iterator[Line]:
    """From the innermost out, to where the module was called."""
    lines = traceback.walk_stack(sys._getframe())
    outside = dropwhile(_is_here, lines)
    return takewhile(lambda line: not _is_here(line), outside)


def _raising(error: Exception) -> list[Line]:
    """Likewise."""
    lines = [*traceback.walk_tb(error.__traceback__)]
    return [line for line in lines[::-1] if not _is_here(line)]


def _is_here(line: Line) -> bool:
    return line[0].f_code.co_filename == __file__


def _place(lines: Iterable[Line], names: dict[int, str]) -> str:
    """The innermost line that is not PyTorch's own, and the innermost module."""
    at = part = ""
    for frame, number in lines:
        file = frame.f_code.co_filename
        if not at and not file.startswith(TORCH):
            at = f"{file}:{number} `{linecache.getline(file, number).strip()}` "
        module = frame.f_locals.get("self")
        if not part and (name := names.get(id(module))):
            part = f"in {name} ({type(module).__name__})"
    return (at + part).strip() or "its only layer"
