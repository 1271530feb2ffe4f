"""The slices' graphs: made once, checked against the base DNN, whole or not there."""

import numpy as np
import pytest
import torch
from torch import nn

from cache_models.build.cold_start import cold_start
from cache_models.errors import ArtifactError, EngineError
from cache_models.network.base_dnn import load
from cache_models.network.description import ModelDescription
from cache_models.network.engine import export as exporter
from cache_models.network.engine.cuda_graphs import CudaGraphs
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.engine.pytorch import PyTorch
from cache_models.network.slice import Slice
from cache_models.promise.promise import Limits
from cache_models.store import exporting, graphs, slice_graphs
from cache_models.store.graphs import GraphRecord, choose, folder_of, partition_engine, read
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from tests.tiny import images

MODEL = "tests.tiny:tiniest"


def unexportable() -> tuple[nn.Module, ModelDescription]:
    """A base DNN whose first slice ONNX cannot say."""
    torch.manual_seed(0)
    return Bessel(), ModelDescription((2, 4, 4), ("a", "b"))


class Bessel(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.second(torch.special.i0e(self.first(x)).relu()).flatten(1))


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    return cold_start(load(MODEL), store, Limits(), HopCost(), ["stem"])


@pytest.fixture
def store(cold, tmp_path):
    """Of the same version, without graphs."""
    store = Store(tmp_path)
    plan = cold.plan
    store.publish(plan, {plan.caches[0].file: cold.load(0)})
    return store


def answers(store: Store, pictures: np.ndarray) -> np.ndarray:
    """What the partitions answer, one after the other."""
    plan, batch = store.current().plan, pictures
    for stage in plan.stages():
        if not stage.is_lookup:
            engine = partition_engine(store.folder, plan, stage, "onnxruntime", 1, "cpu")
            reply = Slice(stage, plan.description, engine)(batch)
            batch = reply[1]
    return reply.probabilities


def test_partitions_answer_as_the_base_dnn(cold):
    pictures, base = images(50), load(MODEL)
    with torch.inference_mode():
        expected = base.module(base.inputs(pictures)).softmax(1).numpy()
    np.testing.assert_allclose(
        answers(Store(cold.folder.parents[1]), pictures), expected, atol=1e-5
    )


def test_graphs_are_made_where_there_are_none_and_only_there(store, monkeypatch):
    made = exporting.ensure(store.folder, store.current())
    assert list(made.partitions) == ["Partition0", "Partition1"]
    for record in made.partitions.values():
        assert record.file and record.rows == graphs.ROWS and record.largest_difference < 1e-4
        assert set(record.ms) == {"onnxruntime", "torch"}
    monkeypatch.setattr(exporting, "make", None)
    assert exporting.ensure(store.folder, store.current()) == made


@pytest.mark.parametrize("damage", ["altered", "missing", "manifest"])
def test_a_damaged_graph_is_refused_and_made_anew(store, damage):
    version = store.current()
    exporting.ensure(store.folder, version)
    folder = folder_of(store.folder, version.plan)
    file = folder / "Partition1.onnx"
    match damage:
        case "altered":
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        case "missing":
            file.unlink()
        case "manifest":
            (folder / "graphs.json").write_text('{"format": 1, ')
    with pytest.raises(ArtifactError, match=r"damaged|cannot be read"):
        answers(store, images(2))
    exporting.ensure(store.folder, version)
    assert answers(store, images(2)).shape == (2, 4)


def test_what_is_interrupted_leaves_nothing(store, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(slice_graphs, "_paused_ms", stop)
    with pytest.raises(KeyboardInterrupt):
        exporting.ensure(store.folder, store.current())
    assert list((store.folder / graphs.FOLDER).iterdir()) == []
    with pytest.raises(ArtifactError, match="python -m cache_models export"):
        read(store.folder, store.current().plan)


def test_weights_of_two_gigabytes_lie_beside_the_graph(store, monkeypatch):
    monkeypatch.setattr(exporter, "ONE_FILE_BYTES", 1000)
    made = exporting.ensure(store.folder, store.current())
    assert list(made.partitions["Partition1"].checksums) == [
        "Partition1.onnx",
        "Partition1.onnx.data",
    ]
    assert answers(store, images(2)).shape == (2, 4)


def test_a_base_dnn_that_has_changed_gives_no_graphs(store):
    version = store.current()
    changed = version.plan.model_copy(update={"fingerprint": "x"})
    store.publish(changed, {changed.caches[0].file: version.load(0)})
    with pytest.raises(ArtifactError, match="built for other weights"):
        exporting.ensure(store.folder, store.current())


def test_a_slice_without_a_graph_runs_in_pytorch_and_says_why(tmp_path):
    base = load(f"{__name__}:unexportable")
    version = cold_start(base, Store(tmp_path), Limits(), HopCost(), ["input", "relu"])
    records = read(tmp_path, version.plan).partitions
    assert records["Partition0"].refused and "i0e" in records["Partition0"].refused
    assert records["Partition1"].refused is None
    engines = [
        partition_engine(tmp_path, version.plan, stage, "auto", 1, "cpu")
        for stage in version.plan.stages()
        if not stage.is_lookup
    ]
    assert [type(engine) for engine in engines] in ([PyTorch, OnnxRuntime], [PyTorch, PyTorch])
    inputs = np.random.default_rng(0).standard_normal((3, 2, 4, 4), np.float32)
    with torch.inference_mode():
        expected = base.module(torch.from_numpy(inputs)).softmax(1).numpy()
    np.testing.assert_allclose(engines[1](engines[0](inputs)[1])[1], expected, atol=1e-6)
    with pytest.raises(EngineError, match=r"i0e[\s\S]*Leave `engine: auto`"):
        choose(records["Partition0"], "onnxruntime", "cpu")


def test_auto_is_the_quickest_on_a_cpu_and_cuda_graphs_on_a_gpu():
    def record(onnxruntime: float) -> GraphRecord:
        return GraphRecord(file="a.onnx", ms={"onnxruntime": onnxruntime, "torch": 10.0})

    assert (
        choose(record(9.0), "auto", "cpu") == choose(record(10.4), "auto", "cpu") == "onnxruntime"
    )
    assert choose(record(11.0), "auto", "cpu") == "torch"
    assert choose(record(9.0), "auto", "cuda:0") == "cuda_graphs"
    assert choose(record(99.0), "onnxruntime", "cpu") == "onnxruntime"


def test_graphs_are_of_float32():
    record = GraphRecord(file="a.onnx", ms={"onnxruntime": 1.0, "torch": 10.0})
    assert choose(record, "auto", "cpu", "bfloat16") == "torch"
    with pytest.raises(EngineError, match="were built for bfloat16"):
        choose(record, "onnxruntime", "cpu", "bfloat16")


def test_cuda_graphs_need_a_gpu():
    with pytest.raises(EngineError, match="set `device: cuda`"):
        CudaGraphs(nn.Identity(), "cpu")
