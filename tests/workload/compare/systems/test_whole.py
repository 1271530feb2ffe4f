"""Every system answers as the base DNN does, with one graph that is made once, without PyTorch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.store import exporting
from cache_models.store.graphs import folder_of
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store
from tests.plans import plan_for
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.in_process import best_threads
from workload.compare.systems import graphs, mosec_server_names, one_deployment, stores
from workload.compare.systems.whole import whole_engine

TINY = "tests.tiny:tiny"


@pytest.fixture(scope="module")
def base():
    return load(TINY)


@pytest.fixture(scope="module")
def version(base, tmp_path_factory) -> CacheVersion:
    plan = plan_for([], base.description.classes)
    plan.model, plan.fingerprint, plan.description = TINY, base.fingerprint(), base.description
    return Store(tmp_path_factory.mktemp("store")).publish(plan, {})


@pytest.fixture(scope="module")
def whole(version, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATI_HOME", str(tmp_path_factory.mktemp("home")))
        graphs.give(stores.without_caches(version, folder), folder)
    return folder


def in_one_deployment(whole, monkeypatch):
    return one_deployment._load(one_deployment.Args(store=whole, threads=1)).answer


def eager(whole, monkeypatch):
    return one_deployment._load(one_deployment.Args(store=whole, threads=1, eager=True)).answer


def in_litserve(whole, monkeypatch):
    pytest.importorskip("litserve")
    from workload.compare.systems.litserve_server import Api

    api = Api(whole, "cpu", 1)
    api.setup("cpu")
    return lambda body: api.encode_response(api.predict(body))


def in_mosec(whole, monkeypatch):
    pytest.importorskip("mosec")
    from workload.compare.systems.mosec_server import Model

    monkeypatch.setenv(mosec_server_names.STORE, str(whole))
    monkeypatch.setenv(mosec_server_names.DEVICE, "cpu")
    monkeypatch.setenv(mosec_server_names.THREADS, "1")
    worker = Model()
    return lambda body: worker.forward(worker.deserialize(body))


@pytest.mark.parametrize("system", [in_one_deployment, eager, in_litserve, in_mosec])
def test_a_system_answers_as_the_base_dnn(system, whole, base, monkeypatch):
    pictures = images(20)
    answer = system(whole, monkeypatch)
    given = [answer(png(picture)) for picture in pictures]
    assert [a["class_id"] for a in given] == base_answers(base, pictures).tolist()
    assert {a["exit"] for a in given} == {"base"}
    scores = base.module(base.inputs(pictures)).softmax(1).numpy()
    assert np.allclose([a["probability"] for a in given], scores.max(1), atol=1e-5)


def test_all_but_eager_run_the_same_graph(whole):
    assert isinstance(whole_engine(whole, "cpu", 1), OnnxRuntime)
    assert best_threads(whole, "cpu", 1, repetitions=1) == 1


def test_a_graph_is_made_once_and_kept_for_the_next_comparison(version, tmp_path, monkeypatch):
    monkeypatch.setenv("GATI_HOME", str(tmp_path / "home"))
    made, make = [], exporting.make
    monkeypatch.setattr(exporting, "make", lambda *args: made.append(args) or make(*args))
    for name in ("first", "second"):
        folder = tmp_path / name
        graphs.give(stores.without_caches(version, folder), folder)
        assert whole_engine(folder, "cpu", 1)
    assert len(made) == 1
    assert not folder_of(version.folder.parents[1], version.plan).exists()


def test_a_store_that_has_graphs_shares_them(version, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "make", None)
    shared = stores.whole_copy(Store(whole), tmp_path / "copy").folder
    assert whole_engine(shared, "cpu", 1)
    beside = Store(whole).current()
    stores.copy_of(beside, tmp_path / "one")
    graphs.give(beside, tmp_path / "one")
    assert whole_engine(tmp_path / "one", "cpu", 1)


def test_who_serves_a_graph_needs_no_pytorch(whole):
    program = f"""
import sys
from pathlib import Path
from workload.compare.systems import cascade
from workload.compare.systems.whole import Whole
Whole(Path({str(whole)!r}), "cpu", 1)
assert not {{"torch", "torchvision"}} & set(sys.modules), "PyTorch is loaded"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
