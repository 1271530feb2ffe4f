"""What partitions run: the slices of the base DNN as ONNX graphs, exported once and kept beside the
versions of caches, which come and go while the slices stay.

    <store>/graphs/<key>/Partition0.onnx    the weights of a large one in Partition0.onnx.data
    <store>/graphs/<key>/graphs.json        of which base DNN, checksums, how they were checked

The key stands for the base DNN's weights and the cut points. A folder is written beside its place
and renamed into it, so it is there whole or not at all, and what differs from its checksum is
refused. Of a store that lies elsewhere they are brought to the node's copy, as versions are.
`store.exporting` writes; nothing here needs PyTorch, unless a slice runs in it.
"""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from cache_models.cache.lookup import CacheLookup, Past
from cache_models.cache.stream_memory import StreamLimits
from cache_models.errors import ArtifactError, EngineError, briefly
from cache_models.network.activation import Precision
from cache_models.network.engine.interface import DType, Engine, EngineChoice, EngineName
from cache_models.network.slice import Slice
from cache_models.network.stages import Stage
from cache_models.store.checksums import sha256
from cache_models.store.plan import Plan
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store

FOLDER, MANIFEST = "graphs", "graphs.json"
ROWS = 32
"""Inputs on which graphs and modules are compared."""
NEAR = 1.05
"""PyTorch must be quicker than ONNX Runtime by more than this to be preferred."""


class GraphRecord(BaseModel):
    """One partition's slice.

    Attributes:
        file: of its graph; None if it has none, and then `refused` says why.
        checksums: SHA-256 of that file and of the one with its weights, if there is one, by name.
        rows: inputs on which graph and module were compared.
        largest_difference: between what they made of those.
        labels_changed: inputs that the graph labels otherwise; None where it labels none.
        ms: median milliseconds of one input after a pause, by engine, where they were made.
    """

    file: str | None = None
    checksums: dict[str, str] = {}
    refused: str | None = None
    rows: int = 0
    largest_difference: float = 0.0
    labels_changed: int | None = None
    ms: dict[EngineName, float] = {}

    @property
    def quickest(self) -> EngineName:
        """On a CPU."""
        if self.file is None:
            return "torch"
        least = min(self.ms.values(), default=0.0)
        return "onnxruntime" if self.ms.get("onnxruntime", 0.0) <= NEAR * least else "torch"


class Graphs(BaseModel):
    """Of all slices between a plan's cut points, by partition."""

    format: Literal[1] = 1
    fingerprint: str
    cut_points: list[str]
    partitions: dict[str, GraphRecord]


def within(plan: Plan) -> str:
    """Where the graphs for `plan` are, or will be, within a store."""
    key = f"{Graphs.model_fields['format'].default} {plan.fingerprint} {plan.cut_points}"
    return f"{FOLDER}/{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def folder_of(store: Path | str, plan: Plan) -> Path:
    """Likewise, on this machine.

    Args:
        store: here and below: its folder, or its URL.
    """
    return Store(store).folder / within(plan)


def read(store: Path | str, plan: Plan) -> Graphs:
    """What is there for `plan`; its files are checked when they are loaded, or by `check`.

    Raises:
        ArtifactError: nothing, or nothing that can be read.
    """
    if (mirror := Store(store).mirror) is not None:
        mirror.bring(within(plan), MANIFEST, _checksums)
    file = folder_of(store, plan) / MANIFEST
    try:
        return Graphs.model_validate_json(file.read_text())
    except (OSError, ValidationError) as error:
        raise ArtifactError(
            f"{file} cannot be read: {briefly(error)}. Make the graphs with `python -m "
            f"cache_models export --store {store}`."
        ) from error


def _checksums(manifest: bytes) -> dict[str, str]:
    partitions = Graphs.model_validate_json(manifest).partitions.values()
    return {name: sum for record in partitions for name, sum in record.checksums.items()}


def sound(store: Path | str, plan: Plan) -> Graphs:
    """The same, and every file of them checked.

    Raises:
        ArtifactError: likewise, or a file is damaged.
    """
    graphs = read(store, plan)
    for record in graphs.partitions.values():
        check(folder_of(store, plan), record)
    return graphs


def check(folder: Path, record: GraphRecord) -> None:
    """
    Raises:
        ArtifactError: a file of the graph is missing, or differs from its checksum.
    """
    for name, expected in record.checksums.items():
        try:
            found = sha256(folder / name)
        except OSError as error:
            raise ArtifactError(f"{folder / name} cannot be read: {error}") from error
        if found != expected:
            raise ArtifactError(
                f"{folder / name} is damaged: it differs from its checksum. The next start of the "
                f"application, or `python -m cache_models export`, makes it anew."
            )


def choose(
    record: GraphRecord, choice: EngineChoice, device: str, dtype: DType = "float32"
) -> EngineName:
    """
    Raises:
        EngineError: ONNX Runtime was asked for, and the slice has no graph, or computes in another
            dtype.
    """
    if choice == "auto":
        if device != "cpu":
            return "cuda_graphs"
        return record.quickest if dtype == "float32" else "torch"
    if choice == "onnxruntime" and (record.file is None or dtype != "float32"):
        why = record.refused if record.file is None else f"the caches were built for {dtype}"
        raise EngineError(
            f"`engine: onnxruntime` is impossible here: {why}. Leave `engine: auto`, or set "
            f"`torch`."
        )
    return choice


def partition_slice(
    store: Path | str,
    plan: Plan,
    stage: Stage,
    choice: EngineChoice,
    threads: int,
    device: str,
    precision: Precision,
) -> Slice:
    """What a partition of `plan` computes; other arguments and errors as of `partition_engine`.

    Args:
        precision: of the activations that it takes and hands on.
    """
    packed = device != "cpu" and choice != "onnxruntime"
    engine = partition_engine(
        store, plan, stage, choice, threads, device, precision if packed else None
    )
    return Slice(stage, plan.description, engine, precision, packed)


def partition_engine(
    store: Path | str,
    plan: Plan,
    stage: Stage,
    choice: EngineChoice,
    threads: int,
    device: str,
    precision: Precision | None = None,
) -> Engine:
    """Of the slice that a partition of `plan` runs.

    Args:
        threads: within one operation.
        device: `cpu`, `cuda` or `cuda:N`.
        precision: in which activations come and go as they travel, not as ONNX Runtime takes them;
            by default they are float32.

    Raises:
        ArtifactError: the graphs are missing or damaged, or the base DNN has changed.
        EngineError: the engine cannot be had here.
    """
    record = read(store, plan).partitions[stage.name]
    name = choose(record, choice, device, plan.dtype)
    if name == "onnxruntime":
        from cache_models.network.engine.onnx_runtime import OnnxRuntime

        assert record.file is not None
        folder = folder_of(store, plan)
        check(folder, record)
        return OnnxRuntime(folder / record.file, threads, device)
    return _in_pytorch(plan, stage, threads, device, name, precision)


def lookup_engine(
    version: CacheVersion, index: int, choice: EngineChoice, threads: int, device: str = "cpu"
) -> Engine:
    """Of a version's learned cache, whose graph is made of its weights; other arguments and
    `EngineError` as of `partition_engine`.

    Raises:
        ArtifactError: the cache cannot be loaded.
    """
    if choice == "torch":
        from cache_models.network.engine.pytorch import PyTorch

        return PyTorch(version.load(index), threads, device)
    if choice == "cuda_graphs" or (choice == "auto" and device != "cpu"):
        from cache_models.network.engine.cuda_graphs import CudaGraphs

        return CudaGraphs(version.load(index), device)
    from cache_models.network.engine.onnx_runtime import OnnxRuntime

    return OnnxRuntime(version.graph(index), threads, device)


def cache_lookup(
    version: CacheVersion,
    stage: Stage,
    choice: EngineChoice,
    threads: int,
    device: str = "cpu",
    limits: StreamLimits | None = None,
) -> CacheLookup:
    """What a lookup of a version computes; arguments and errors as of `lookup_engine`.

    Args:
        limits: of what it remembers of streams.
    """
    plan, past = version.plan, None
    engine = lookup_engine(version, stage.index, choice, threads, device)
    if (recall := version.recall(stage.index)) is not None:
        memory = plan.caches[stage.index].memory
        assert memory is not None
        past = Past(recall, memory.alone, memory.kept, limits or StreamLimits())
    return CacheLookup(stage, plan.description, engine, plan.promise.threshold, past)


def _in_pytorch(
    plan: Plan,
    stage: Stage,
    threads: int,
    device: str,
    name: EngineName,
    precision: Precision | None,
) -> Engine:
    from cache_models.network.base_dnn import load
    from cache_models.network.cutting import cut
    from cache_models.network.engine.making import engine
    from cache_models.network.partition_module import Travelling, partition_modules

    base = load(plan.model)
    plan.check_base(base)
    modules = partition_modules(cut(base), plan.cut_points, base.description, plan.dtype)
    module = modules[stage.slice_index]
    if precision is not None:
        module = Travelling(module, precision)
    return engine(module, [], threads, device, name, plan.dtype)
