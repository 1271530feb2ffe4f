"""Which of torchvision's classifiers can be a base DNN: each with random weights, on small inputs.

It has to load, with all checks; slices between all its cut points, and on both sides of the middle
one, have to give the module's scores bit by bit; and the two slices that a build would export have
to answer as the module. Each is tried in a process of its own, which leaves nothing behind.
"""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torchvision import models as zoo

from cache_models.build import tables
from cache_models.build.survey import candidate_names
from cache_models.errors import CacheModelsError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import CutModel, cut
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.loading.probing import check_classifier
from cache_models.network.loading.torchvision_models import make
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT

AGREES_TO = 1e-3
"""Probabilities of graphs, against the module's."""
COPIES = 5
"""Of the weights that are in memory while a graph is made."""


class ArchitectureRow(BaseModel):
    """What became of one builder.

    Attributes:
        side: of the input, in pixels.
        cut_points, candidates: how many, the input included.
        identical: whether slices give the module's scores bit by bit.
        graphs: of the two slices that were exported, those that ONNX Runtime runs.
        difference: the largest of a probability, between those slices and the module.
        refused: why it went no further.
    """

    builder: str
    million_weights: float
    side: int
    seconds: float = 0.0
    loads: bool = False
    cut_points: int = 0
    candidates: int = 0
    identical: bool = False
    graphs: int = 0
    difference: float | None = None
    refused: str = ""

    @property
    def builds(self) -> bool:
        return self.difference is not None and self.difference <= AGREES_TO


def builders() -> list[str]:
    """All of torchvision's, the smallest first."""
    return sorted(zoo.list_models(module=zoo), key=_weights)


def try_all(names: Sequence[str], side: int, timeout_s: float) -> Iterator[ArchitectureRow]:
    """One after the other.

    Args:
        side: of inputs, in pixels, where the builder allows so small ones.
        timeout_s: for each.
    """
    context = multiprocessing.get_context("spawn")
    for name in names:
        row = ArchitectureRow(
            builder=name, million_weights=_weights(name) / 1e6, side=_allowed(name, side)
        )
        if (needed := COPIES * 4 * _weights(name)) > _free_memory_bytes():
            yield row.model_copy(update={"refused": f"needs {needed / 1e9:.0f} GB of memory"})
            continue
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_in_process, args=(theirs, row))
        process.start()
        theirs.close()
        try:
            late = not ours.poll(timeout_s)
            yield row.model_copy(update={"refused": f"{timeout_s:.0f} s"}) if late else ours.recv()
        except EOFError:
            process.join()
            yield row.model_copy(update={"refused": f"its process ended ({process.exitcode})"})
        finally:
            process.kill()
            process.join()


def try_one(row: ArchitectureRow) -> ArchitectureRow:
    """What becomes of `row.builder`, in this process."""
    row, started = row.model_copy(), time.perf_counter()
    try:
        _try(row)
    except CacheModelsError as error:
        row.refused = str(error)
    row.seconds = time.perf_counter() - started
    return row


def _in_process(answer: Connection, row: ArchitectureRow) -> None:
    answer.send(try_one(row))


def _try(row: ArchitectureRow) -> None:
    """Fill in `row`, as far as it goes."""
    torch.manual_seed(0)
    size = f"?image_size={row.side}" if row.builder.startswith("vit_") else ""
    module, description = make(f"{row.builder}{size}")
    description = replace(description, input_shape=(3, row.side, row.side), preprocessing=None)
    module = module.eval().requires_grad_(False)
    check_classifier(row.builder, module, description)
    row.loads = True
    base = BaseDNN(f"torchvision:{row.builder}", module, description)
    inputs = torch.randn(2, *description.input_shape)
    with torch.inference_mode():
        expected = module(inputs.clone())
    model = cut(base)
    names = [point.name for point in model.cut_points if point.name != INPUT]
    candidates = [name for name in candidate_names(model) if name != INPUT]
    row.cut_points, row.candidates = len(names) + 1, len(candidates) + 1
    middle = candidates[len(candidates) // 2 :][:1]
    row.identical = all(
        torch.equal(_run(model, subset, inputs), expected) for subset in (names, middle)
    )
    engines = slice_engines(base, model, middle)
    row.graphs = sum(isinstance(engine, OnnxRuntime) for engine in engines)
    made = inputs.numpy()
    for engine in engines:
        assert engine is not None
        _, made = engine(made)
    row.difference = float((torch.tensor(made) - expected.softmax(1)).abs().max())


def _run(model: CutModel, names: Sequence[str], inputs: Tensor) -> Tensor:
    """As activations travel: contiguous."""
    part: nn.Module
    with torch.inference_mode():
        for part in model.slices(names):
            inputs = part(inputs.clone(memory_format=torch.contiguous_format))
    return inputs


def heading() -> str:
    return (
        f"{'builder':20} {'weights':>9} {'input':>5} {'s':>5}  loads  {'cut points':>10} "
        f"{'candidates':>10}  identical  builds  graphs"
    )


def describe(row: ArchitectureRow) -> str:
    loads, identical, builds = (
        "yes" if it else "no" for it in (row.loads, row.identical, row.builds)
    )
    line = (
        f"{row.builder:20} {row.million_weights:7.1f} M {row.side:5} {row.seconds:5.0f}  "
        f"{loads:5}  {row.cut_points:10} {row.candidates:10}  {identical:9}  {builds:6}  "
        f"{row.graphs:6}"
    )
    return f"{line}  {row.refused}".rstrip()


def summary(rows: Sequence[ArchitectureRow]) -> str:
    """How many of them, and those that fall short."""
    short = [row.builder for row in rows if not (row.identical and row.builds)]
    return (
        f"{len(rows)} builders: {sum(row.loads for row in rows)} load, "
        f"{sum(row.identical for row in rows)} cut bit-identically, "
        f"{sum(row.builds for row in rows)} build; fall short: {', '.join(short) or 'none'}"
    )


def as_csv(rows: Sequence[ArchitectureRow]) -> str:
    return tables.as_csv(rows, ArchitectureRow, str)


def _weights(builder: str) -> int:
    return zoo.get_model_weights(builder)["DEFAULT"].meta["num_params"]


def _allowed(builder: str, side: int) -> int:
    """The side next to `side` that the builder takes."""
    if builder.startswith("vit_"):
        patch = int(builder.rpartition("_")[2])
        return max(2, side // patch) * patch
    return max(side, *zoo.get_model_weights(builder)["DEFAULT"].meta["min_size"])


def _free_memory_bytes() -> int:
    with open("/proc/meminfo") as lines:
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
    return int(kilobytes) * 1024
