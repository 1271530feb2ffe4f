"""What ONNX Runtime makes of a base DNN and of its learned caches beside PyTorch: milliseconds, and
how much their answers differ.

In service a slice has slept since the last miss, and a lookup is asked while others compute. So
each is timed in a loop, after sleep, and after other work.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from cache_models.build import tables
from cache_models.cache.lookup import CacheLookup
from cache_models.errors import ExportError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import median_ms
from cache_models.network.engine.interface import Engine, EngineName
from cache_models.network.engine.making import engine
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.engine.pytorch import PyTorch
from cache_models.network.stages import Stage
from cache_models.store.version import CacheVersion

MODELS = (
    "default",
    "torchvision:resnet50",
    "torchvision:mobilenet_v3_small",
    "torchvision:vit_b_16",
    "torchvision:convnext_tiny",
    "torchvision:efficientnet_b0",
    "torchvision:densenet121",
    "torchvision:regnet_y_400mf",
)
ROWS, TOGETHER = 32, 8
BASE_PAUSE_S, LOOKUP_PAUSE_S = 0.05, 0.005
REPETITIONS = 15
CONDITIONS = ("loop_ms", "slept_ms", "worked_ms", "batch_ms")

Scores = Callable[[np.ndarray], np.ndarray]
"""Inputs to scores or probabilities of classes, `(B, K)`."""


class EngineRow(BaseModel):
    """One engine running one thing.

    Attributes:
        part: `base DNN`, or one of its lookups.
        pause_ms: of sleep or other work before a call.
        loop_ms, slept_ms, worked_ms: median of one input: right after the one before, after sleep,
            and after other work.
        batch_ms: of `TOGETHER` inputs, in a loop.
        difference: the largest from what PyTorch makes of `rows` inputs, as a share of its largest
            score or probability.
        labels_changed: of those inputs.
        refused: why there is no graph; nothing is measured then.
    """

    model: str
    part: str
    engine: EngineName
    threads: int
    pause_ms: float
    loop_ms: float | None = None
    slept_ms: float | None = None
    worked_ms: float | None = None
    batch_ms: float | None = None
    rows: int = 0
    difference: float = 0.0
    labels_changed: int = 0
    refused: str | None = None


def compare_base(base: BaseDNN, threads: int, given: np.ndarray | None = None) -> list[EngineRow]:
    """The whole base DNN in PyTorch as it is, and in ONNX Runtime.

    Args:
        base: parameters that are all zero are drawn at random first: of a module without weights
            of its own, what lies behind them would show nothing.
        threads: within one operation.
        given: inputs to compare scores of, as `ModelDescription.inputs` takes them; noise, if there
            are none.
    """
    _draw_zeros(base.module)
    module, shape = AsTuple(base.module).eval(), base.description.input_shape
    inputs = _noise(shape) if given is None else base.description.inputs(given[:ROWS])
    about = EngineRow(
        model=base.reference,
        part="base DNN",
        engine="torch",
        threads=threads,
        pause_ms=BASE_PAUSE_S * 1e3,
    )
    first = partial(_first, PyTorch(module, threads))
    try:
        second = partial(_first, engine(module, [shape], threads, choice="onnxruntime"))
    except ExportError as error:
        refused = about.model_copy(update={"engine": "onnxruntime", "refused": str(error)})
        return [_timed(about, first, inputs), refused]
    return _both(about, first, second, inputs)


def compare_lookups(version: CacheVersion, given: np.ndarray | None = None) -> list[EngineRow]:
    """Every learned cache of a version, with one thread, as lookups are served.

    Args:
        given: inputs for one at the input, as for `compare_base`; others are asked about noise.
    """
    rows: list[EngineRow] = []
    for stage in version.plan.stages():
        if stage.is_lookup:
            rows += _lookup(version, stage, given)
    return rows


def _lookup(version: CacheVersion, stage: Stage, given: np.ndarray | None) -> list[EngineRow]:
    description = version.plan.description

    def asked(engine: Engine) -> Scores:
        lookup = CacheLookup(stage, description, engine, threshold=None)
        return lambda batch: lookup(batch).probabilities

    if not stage.at_input:
        assert stage.features is not None
        inputs = _noise(stage.features).astype(np.float16)
    else:
        inputs = _noise(description.input_shape) if given is None else given[:ROWS]
    about = EngineRow(
        model=version.plan.model,
        part=stage.name,
        engine="torch",
        threads=1,
        pause_ms=LOOKUP_PAUSE_S * 1e3,
    )
    in_pytorch = PyTorch(version.load(stage.index), 1)
    return _both(
        about, asked(in_pytorch), asked(OnnxRuntime(version.graph(stage.index), 1)), inputs
    )


def heading() -> str:
    """Of the lines that `describe` makes."""
    columns = "".join(
        f"{name:>12}" for name in ("in a loop", "slept", "worked", f"{TOGETHER} rows")
    )
    return f"{'milliseconds':56}{columns}"


def describe(row: EngineRow) -> str:
    """One line."""
    line = f"{row.model + ', ' + row.part:43} {row.engine:12}"
    if row.refused:
        return f"{line}has no graph: {row.refused}"
    line += "".join(f"{getattr(row, condition):12.2f}" for condition in CONDITIONS)
    if row.engine != "torch":
        line += f"  differs by {row.difference:.0e}, {row.labels_changed} of {row.rows} labels"
    return line


def as_csv(rows: Sequence[EngineRow]) -> str:
    """For pandas."""
    return tables.as_csv(rows, EngineRow, lambda v: f"{v:.4g}" if isinstance(v, float) else v)


class AsTuple(nn.Module):
    """What engines run returns a tuple."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        return (self.module(inputs),)


def _first(engine: Engine, inputs: np.ndarray) -> np.ndarray:
    return engine(inputs)[0]


def _draw_zeros(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.02, generator=generator)


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, *shape), np.float32)


def _both(about: EngineRow, first: Scores, second: Scores, inputs: np.ndarray) -> list[EngineRow]:
    starts = range(0, len(inputs), TOGETHER)
    batches = [inputs[start : start + TOGETHER] for start in starts]
    expected, found = (np.concatenate([of(b) for b in batches]) for of in (first, second))
    compared = {
        "engine": "onnxruntime",
        "rows": len(inputs),
        "difference": float(np.abs(found - expected).max() / np.abs(expected).max()),
        "labels_changed": int((found.argmax(1) != expected.argmax(1)).sum()),
    }
    return [
        _timed(about, first, inputs),
        _timed(about.model_copy(update=compared), second, inputs),
    ]


def _timed(about: EngineRow, scores: Scores, inputs: np.ndarray) -> EngineRow:
    pause_s = about.pause_ms / 1e3
    one, some = partial(scores, inputs[:1]), partial(scores, inputs[:TOGETHER])
    ms = {
        "loop_ms": median_ms(one, REPETITIONS),
        "slept_ms": median_ms(one, REPETITIONS, before=partial(time.sleep, pause_s)),
        "worked_ms": median_ms(one, REPETITIONS, before=partial(_work, pause_s)),
        "batch_ms": median_ms(some, REPETITIONS),
    }
    return about.model_copy(update=ms)


def _work(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
