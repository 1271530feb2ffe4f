"""Both engines are timed on the same, and what differs between them is said."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from cache_models.__main__ import cli
from cache_models.bench import engines
from cache_models.errors import ExportError
from cache_models.network.base_dnn import load
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from tests.tiny import images

TINY = "tests.tiny:tiniest"


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    for name in ("BASE_PAUSE_S", "LOOKUP_PAUSE_S"):
        monkeypatch.setattr(engines, name, 0.001)
    monkeypatch.setattr(engines, "REPETITIONS", 2)


@pytest.mark.parametrize("given", [None, images(40)], ids=["noise", "pictures"])
def test_a_base_dnn_answers_alike_in_both_engines(given):
    torch, onnx = engines.compare_base(load(TINY), 1, given)
    assert (torch.engine, onnx.engine) == ("torch", "onnxruntime")
    assert onnx.rows == engines.ROWS and onnx.labels_changed == 0
    assert 0 <= onnx.difference < 1e-5
    assert all(getattr(row, ms) > 0 for row in (torch, onnx) for ms in engines.CONDITIONS)
    assert "0 of 32 labels" in engines.describe(onnx)


def test_a_graph_that_answers_otherwise_is_seen(monkeypatch):
    def wrong(module, shapes, threads, choice):
        return lambda inputs: [np.roll(module.module(torch_of(inputs)).numpy(), 1, axis=1)]

    def torch_of(array):
        import torch

        return torch.from_numpy(array)

    monkeypatch.setattr(engines, "engine", wrong)
    _, onnx = engines.compare_base(load(TINY), 1)
    assert onnx.labels_changed > 0 and onnx.difference > 0.1


def test_what_cannot_be_exported_is_said(monkeypatch):
    def refuse(*_, **__):
        raise ExportError("PyTorch cannot export it to ONNX: it is odd")

    monkeypatch.setattr(engines, "engine", refuse)
    torch, onnx = engines.compare_base(load(TINY), 1)
    assert torch.loop_ms is not None and onnx.loop_ms is None
    assert "it is odd" in engines.describe(onnx)


def test_the_shipped_lookups_answer_alike_in_both_engines():
    version = Store(STORE).current()
    rows = engines.compare_lookups(version, images(32))
    assert [row.part for row in rows[::2]] == [s.name for s in version.plan.stages() if s.is_lookup]
    for onnx in rows[1::2]:
        assert onnx.difference < 1e-4 and onnx.labels_changed == 0


def test_the_command_prints_a_line_an_engine_and_keeps_a_table(tmp_path):
    out = tmp_path / "engines.csv"
    run = CliRunner().invoke(cli, ["engines", TINY, "--out", str(out)], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    assert len([line for line in run.output.splitlines() if line.startswith(TINY)]) == 2
    with open(out) as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["model"], row["engine"]) for row in rows] == [
        (TINY, "torch"),
        (TINY, "onnxruntime"),
    ]
