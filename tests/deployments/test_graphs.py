"""What partitions run is made and checked where the application is built; replicas only load it."""

import asyncio
import logging

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cache_models.__main__ import cli
from cache_models.errors import ArtifactError, ExportError
from cache_models.network.base_dnn import load
from cache_models.network.stages import Run
from cache_models.store import slice_graphs
from cache_models.store.graphs import folder_of, read, sound
from deployments.app import build
from deployments.config import AppArgs, Compute, LaneArgs
from deployments.graph.partition import Partition
from deployments.transport import endpoint
from tests.tiny import images

MODEL = "tests.tiny:tiny"
PICTURES = images(20, seed=3)


@pytest.fixture(autouse=True)
def without_serve(monkeypatch):
    monkeypatch.setattr(endpoint, "max_ongoing_requests", lambda: 64)


def partitions(store, **compute) -> list:
    """As replicas of the application make them."""
    plan, lane = store.current().plan, LaneArgs(enabled=False)
    compute = Compute(threads=1, max_batch_rows=2, **compute)
    return [
        Partition.func_or_class(stage, plan, compute, "float32", lane, str(store.folder))
        for stage in plan.stages()
        if not stage.is_lookup
    ]


def answered(replicas):
    """The answer of the last to what the first is asked."""

    async def run():
        batch = PICTURES
        for replica in replicas[:-1]:
            batch = (await replica.ask(Run(batch))).activation
        return await replicas[-1].ask(Run(batch))

    return asyncio.run(run())


def expected():
    base = load(MODEL)
    with torch.inference_mode():
        return base.module(base.inputs(PICTURES)).softmax(1).numpy()


def graph_of(store, partition):
    plan = store.current().plan
    record = read(store.folder, plan).partitions[partition]
    return folder_of(store.folder, plan) / record.file


@pytest.mark.parametrize("engine", ["auto", "onnxruntime", "torch"])
def test_whatever_the_engine_the_answer_is_the_base_dnns(store, engine):
    answer = answered(partitions(store, engine=engine))
    assert np.allclose(answer.probabilities, expected(), atol=1e-5)
    assert np.array_equal(answer.class_ids, expected().argmax(1))


def test_a_damaged_graph_is_refused_by_replicas_and_made_anew_with_the_application(store, caplog):
    file = graph_of(store, "Partition1")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"Partition1\.onnx is damaged"):
        partitions(store, engine="onnxruntime")
    with caplog.at_level(logging.WARNING, "cache_models.store"):
        build(AppArgs(model=MODEL, store=str(store.folder)))
    assert "Partition1.onnx is damaged" in caplog.text
    assert np.allclose(answered(partitions(store)).probabilities, expected(), atol=1e-5)


def test_graphs_that_are_there_are_not_made_again(store, monkeypatch):
    monkeypatch.setattr(slice_graphs, "export_slices", None)
    build(AppArgs(model=MODEL, store=str(store.folder)))


def test_a_slice_without_a_graph_runs_in_pytorch_and_says_why(store, monkeypatch, caplog):
    export = slice_graphs.export

    def refuses_the_first(module, inputs, file):
        if file.stem == "Partition0":
            raise ExportError("its loop has no end")
        export(module, inputs, file)

    monkeypatch.setattr(slice_graphs, "export", refuses_the_first)
    graph_of(store, "Partition0").unlink()
    ran = CliRunner().invoke(cli, ["export", "--store", str(store.folder)])
    assert ran.exit_code == 0, ran.output
    assert "Partition0: torch" in ran.output and "no graph: its loop has no end" in ran.output
    assert "Partition0 runs in PyTorch: its loop has no end" in caplog.text
    told = sound(store.folder, store.current().plan).partitions
    assert told["Partition0"].file is None and told["Partition1"].file
    assert np.allclose(answered(partitions(store)).probabilities, expected(), atol=1e-5)
