"""Make the graphs that `store.graphs` reads: export every slice, check it, and time it."""

import logging
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from tqdm import tqdm

from cache_models.errors import ArtifactError, ExportError
from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.cutting import cut
from cache_models.network.engine.export import export
from cache_models.network.engine.interface import Engine
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.engine.pytorch import PyTorch
from cache_models.network.partition_module import partition_modules
from cache_models.store.checksums import sha256, sync
from cache_models.store.files import SAMPLES
from cache_models.store.graphs import MANIFEST, GraphRecord, Graphs, check, folder_of, read
from cache_models.store.plan import Plan
from cache_models.store.versions import CacheVersion

ROWS = 32
"""Inputs to compare on, a few at a time."""
TOGETHER = 8
AGREES_TO = 1e-3
"""Of the largest value: far above rounding, far below what a wrong graph makes."""
PAUSE_S = 0.02
"""Before every timed call: back to back, threads are still awake, as they are not in service."""
REPETITIONS = 9

logger = logging.getLogger(__name__)


def ensure(store: Path, version: CacheVersion) -> Graphs:
    """The graphs for a version's plan: those that are there, or made now.

    Raises:
        ModelReferenceError: they have to be made, and the base DNN cannot be loaded.
        ArtifactError: likewise, and it has other weights than the plan was made for.
    """
    plan = version.plan
    try:
        graphs = read(store, plan)
        for record in graphs.partitions.values():
            check(folder_of(store, plan), record)
        return graphs
    except ArtifactError as error:
        logger.info("exporting the slices of %s: %s", plan.model, error)
    base = load(plan.model)
    plan.check_base(base)
    return make(store, plan, base, _kept_inputs(version))


def make(store: Path, plan: Plan, base: BaseDNN, inputs: np.ndarray | None) -> Graphs:
    """Export the slices for `plan` to `store`, in place of what is there.

    Args:
        base: that the plan was made for.
        inputs: to compare graphs and modules on, as `ModelDescription.inputs` takes them; noise,
            if there are none.
    """
    target = folder_of(store, plan)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial.", dir=target.parent))
    try:
        graphs = Graphs(
            fingerprint=plan.fingerprint,
            cut_points=plan.cut_points,
            partitions=_export(partial, plan, base, inputs),
        )
        (partial / MANIFEST).write_text(graphs.model_dump_json(indent=2) + "\n")
        for entry in partial.iterdir():
            entry.chmod(0o644)
            sync(entry)
        partial.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(target.parent)
    return graphs


def _export(
    folder: Path, plan: Plan, base: BaseDNN, inputs: np.ndarray | None
) -> dict[str, GraphRecord]:
    modules = partition_modules(cut(base), plan.cut_points, base.description)
    if inputs is None:
        shape = (ROWS, *base.description.input_shape)
        given = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    else:
        given = base.inputs(inputs[:ROWS])
    records = {}
    stages = [stage for stage in plan.stages() if not stage.is_lookup]
    for stage in tqdm(stages, desc="export", unit="slice"):
        module, file = modules[stage.slice_index], folder / f"{stage.name}.onnx"
        made = _run(module, given)
        records[stage.name] = _record(module, file, given, made)
        given = made[1]
    return records


def _record(
    module: nn.Module, file: Path, given: Tensor, expected: tuple[Tensor, Tensor]
) -> GraphRecord:
    threads = torch.get_num_threads()
    one = given[:1].numpy()
    ms = {"torch": _median_ms(PyTorch(module, threads), one)}
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
        labels_changed=int((labels != expected[0].numpy()).sum()) if is_last else 0,
        ms=ms | {"onnxruntime": _median_ms(engine, one)},
    )


def _run(module: nn.Module, given: Tensor) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        parts = [module(rows.clone()) for rows in given.split(TOGETHER)]
    first, second = (torch.cat(part) for part in zip(*parts, strict=True))
    return first, second


def _median_ms(engine: Engine, one: np.ndarray) -> float:
    times = []
    for _ in range(2 + REPETITIONS):
        time.sleep(PAUSE_S)
        start = time.perf_counter()
        engine(one)
        times.append(time.perf_counter() - start)
    return median(times[2:]) * 1e3


def _kept_inputs(version: CacheVersion) -> np.ndarray | None:
    """Some of the build's samples, if they came with it."""
    try:
        with safe_open(version.folder / SAMPLES, "numpy") as held:
            return held.get_slice("inputs")[:ROWS]
    except (SafetensorError, OSError):
        return None
