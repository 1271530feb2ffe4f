"""Which classifiers of other libraries can be a base DNN: each with random weights.

It has to load, with all checks; slices between all its cut points, and on both sides of the middle
one, have to give the module's scores bit by bit; and the two slices that a build would export have
to answer as the module. If asked, these are timed beside the graph of the whole. Each classifier is
tried in a process of its own, which leaves nothing behind.
"""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from statistics import median

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from cache_models.bench.libraries import make, weights
from cache_models.build import tables
from cache_models.build.survey import candidate_names
from cache_models.errors import CacheModelsError
from cache_models.network.base_dnn import classifier
from cache_models.network.cutting import CutModel, cut
from cache_models.network.engine.interface import Engine
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT

AGREES_TO = 1e-3
"""Probabilities of graphs, against the module's."""
COPIES = 5
"""Of the weights that are in memory while a graph is made."""
REPETITIONS = 40
"""Of one input through the whole and through the slices, in turn."""


class ArchitectureRow(BaseModel):
    """What became of one classifier.

    Attributes:
        name: as of `libraries.make`.
        length: of the input: the side in pixels, or tokens.
        cut_points, candidates: how many, the input included.
        identical: whether slices give the module's scores bit by bit.
        graphs: of the two slices that were exported, those that ONNX Runtime runs.
        difference: the largest of a probability, between those slices and the module.
        whole_ms, slices_ms: median of one input through the whole, and through those slices one
            after the other, features and all, in the same engine; None if that was not asked for.
        refused: why it went no further.
    """

    name: str
    million_weights: float
    length: int = 0
    seconds: float = 0.0
    loads: bool = False
    cut_points: int = 0
    candidates: int = 0
    identical: bool = False
    graphs: int = 0
    difference: float | None = None
    whole_ms: float | None = None
    slices_ms: float | None = None
    refused: str = ""

    @property
    def builds(self) -> bool:
        return self.difference is not None and self.difference <= AGREES_TO


def try_all(
    names: Sequence[str], side: int, timeout_s: float, timed: bool = False
) -> Iterator[ArchitectureRow]:
    """One after the other.

    Args:
        side: of inputs of torchvision's, in pixels, where the builder allows so small ones.
        timeout_s: for each.
        timed: whether the slices are timed, too.
    """
    context = multiprocessing.get_context("spawn")
    for name in names:
        count = weights(name)
        row = ArchitectureRow(name=name, million_weights=count / 1e6)
        if (needed := COPIES * 4 * count) > _free_memory_bytes():
            yield row.model_copy(update={"refused": f"needs {needed / 1e9:.0f} GB of memory"})
            continue
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_in_process, args=(theirs, row, side, timed))
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


def try_one(row: ArchitectureRow, side: int, timed: bool = False) -> ArchitectureRow:
    """What becomes of `row.name`, in this process."""
    row, started = row.model_copy(), time.perf_counter()
    try:
        _try(row, side, timed)
    except CacheModelsError as error:
        row.refused = str(error)
    row.seconds = time.perf_counter() - started
    return row


def _in_process(answer: Connection, row: ArchitectureRow, side: int, timed: bool) -> None:
    answer.send(try_one(row, side, timed))


def _try(row: ArchitectureRow, side: int, timed: bool) -> None:
    """Fill in `row`, as far as it goes."""
    torch.manual_seed(0)
    base = classifier(row.name, *make(row.name, side))
    module, row.loads = base.module, True
    row.length = base.description.input_shape[-1]
    row.million_weights = sum(value.numel() for value in module.parameters()) / 1e6
    inputs = base.examples(2)
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
    made = _answer(engines, inputs.numpy())
    row.difference = float((torch.tensor(made) - expected.softmax(1)).abs().max())
    if timed and middle:
        whole = slice_engines(base, model, [])
        row.whole_ms, row.slices_ms = _in_turn(whole, engines, inputs[:1].numpy())


def _answer(engines: Sequence[Engine | None], given: np.ndarray) -> np.ndarray:
    for engine in engines:
        assert engine is not None
        _, given = engine(given)
    return given


def _in_turn(
    first: Sequence[Engine | None], second: Sequence[Engine | None], given: np.ndarray
) -> tuple[float, float]:
    """Median milliseconds; in turn, since a machine's speed drifts."""
    ms: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPETITIONS):
        for engines, its in zip((first, second), ms, strict=True):
            begin = time.perf_counter()
            _answer(engines, given)
            its.append((time.perf_counter() - begin) * 1e3)
    return median(ms[0]), median(ms[1])


def _run(model: CutModel, names: Sequence[str], inputs: Tensor) -> Tensor:
    """As activations travel: contiguous."""
    part: nn.Module
    with torch.inference_mode():
        for part in model.slices(names):
            inputs = part(inputs.clone(memory_format=torch.contiguous_format))
    return inputs


def heading() -> str:
    return (
        f"{'classifier':37} {'weights':>9} {'input':>5} {'s':>5}  loads  {'cut points':>10} "
        f"{'candidates':>10}  identical  builds  graphs"
    )


def describe(row: ArchitectureRow) -> str:
    loads, identical, builds = (
        "yes" if it else "no" for it in (row.loads, row.identical, row.builds)
    )
    line = (
        f"{row.name:37} {row.million_weights:7.1f} M {row.length:5} {row.seconds:5.0f}  "
        f"{loads:5}  {row.cut_points:10} {row.candidates:10}  {identical:9}  {builds:6}  "
        f"{row.graphs:6}"
    )
    if row.whole_ms is not None and row.slices_ms is not None:
        more = row.slices_ms / row.whole_ms - 1
        line += f"  {row.whole_ms:.1f} ms whole, slices {row.slices_ms:.1f} ms ({more:+.1%})"
    return f"{line}  {row.refused}".rstrip()


def summary(rows: Sequence[ArchitectureRow]) -> str:
    """How many of them, and those that fall short."""
    short = [row.name for row in rows if not (row.identical and row.builds)]
    return (
        f"{len(rows)} classifiers: {sum(row.loads for row in rows)} load, "
        f"{sum(row.identical for row in rows)} cut bit-identically, "
        f"{sum(row.builds for row in rows)} build; fall short: {', '.join(short) or 'none'}"
    )


def as_csv(rows: Sequence[ArchitectureRow]) -> str:
    return tables.as_csv(rows, ArchitectureRow, str)


def _free_memory_bytes() -> int:
    with open("/proc/meminfo") as lines:
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
    return int(kilobytes) * 1024
