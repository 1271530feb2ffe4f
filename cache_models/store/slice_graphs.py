"""Export every slice of a base DNN, check that its graph computes the same, and time both."""

import logging
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cache_models.errors import ExportError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import median_ms
from cache_models.network.cutting import cut
from cache_models.network.engine.export import export
from cache_models.network.engine.interface import TOGETHER, Engine
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.engine.pytorch import PyTorch
from cache_models.network.partition_module import partition_modules
from cache_models.store.checksums import sha256
from cache_models.store.graphs import ROWS, GraphRecord
from cache_models.store.plan import Plan

AGREES_TO = 1e-3
"""Of the largest value: far above rounding, far below what a wrong graph makes."""
PAUSE_S = 0.02
"""Before every timed call: back to back, threads are still awake, as they are not in service."""
REPETITIONS = 9

logger = logging.getLogger(__name__)


def export_slices(
    folder: Path, plan: Plan, base: BaseDNN, inputs: np.ndarray | None
) -> dict[str, GraphRecord]:
    """Write the graph of every partition of `plan` to `folder`, but for those that have none; what
    is to be known of each, by partition. Arguments as of `exporting.make`."""
    modules = partition_modules(cut(base), plan.cut_points, base.description)
    given = base.examples(ROWS) if inputs is None else base.inputs(inputs)
    records = {}
    stages = [stage for stage in plan.stages() if not stage.is_lookup]
    for stage in tqdm(stages, desc="export", unit="slice"):
        module, file = modules[stage.slice_index], folder / f"{stage.name}.onnx"
        made = _run(module, given)
        records[stage.name] = _record(module, file, given, made)
        given = made[1].contiguous()  # as it travels
    return records


def _record(
    module: nn.Module, file: Path, given: Tensor, expected: tuple[Tensor, Tensor]
) -> GraphRecord:
    threads = torch.get_num_threads()
    one = given[:1].numpy()
    ms = {"torch": _paused_ms(PyTorch(module, threads), one)}
    try:
        export(module, [given[:2]], file)
        engine = OnnxRuntime(file, threads)
        parts = [engine(rows.numpy()) for rows in given.split(TOGETHER)]
        labels, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        difference = float(np.abs(values - expected[1].numpy()).max())
        if not difference <= AGREES_TO * float(expected[1].abs().max()):
            raise ExportError(f"its graph differs by up to {difference:.3g}")
    except Exception as error:  # whatever an exporter or a graph may raise
        for left in file.parent.glob(f"{file.name}*"):
            left.unlink()
        logger.warning("%s runs in PyTorch: %s", file.stem, error)
        return GraphRecord(refused=str(error), ms=ms)
    is_last = expected[0].dtype == torch.int64
    files = sorted(file.parent.glob(f"{file.name}*"))
    return GraphRecord(
        file=file.name,
        checksums={written.name: sha256(written) for written in files},
        rows=len(given),
        largest_difference=difference,
        labels_changed=int((labels != expected[0].numpy()).sum()) if is_last else None,
        ms=ms | {"onnxruntime": _paused_ms(engine, one)},
    )


def _run(module: nn.Module, given: Tensor) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        parts = [module(rows.clone()) for rows in given.split(TOGETHER)]
    first, second = (torch.cat(part) for part in zip(*parts, strict=True))
    return first, second


def _paused_ms(engine: Engine, one: np.ndarray) -> float:
    pause = partial(time.sleep, PAUSE_S)
    return median_ms(partial(engine, one), REPETITIONS, warm_up=2, before=pause)
