"""What a run's figures count, and what they leave out."""

import json

import numpy as np
import pytest

from workload.client.answers import Answers
from workload.run.plot import draw
from workload.run.report import summary


def test_totals_leave_the_first_out_and_windows_do_not(tmp_path):
    answers = Answers.none(1500)
    answers.class_ids[:], answers.exits[:], answers.latency_ms[:] = 1, "base", 10.0
    answers.exits[:400] = "layer1"
    answers.class_ids[:60], answers.class_ids[1200:1207] = 2, 2
    answers.due_s[:] = np.arange(1500) / 50
    answers.failures[500:1000], answers.exits[500:1000] = "timeout", "error"
    result = summary(answers, np.ones(1500, int), {"layer1": 1.0, "base": 5.0}, skip=500)
    assert (result["wrong"], result["hit_rate"]) == (7, 0.0)
    assert result["worst_window"] == {"from": 1000, "wrong": 7}
    assert [window["wrong"] for window in result["windows"]] == [60, 0, 7]
    assert result["windows"][0]["compute_ms"] == pytest.approx(0.8 * 1 + 0.2 * 5)
    assert result["windows"][1]["compute_ms"] is None
    assert [window["wrong"] for window in result["time_windows"]] == [60, 0, 7]
    assert result["time_windows"][0]["throughput_per_s"] == pytest.approx(50, rel=0.01)
    assert json.loads(json.dumps(result, allow_nan=False))["errors"] == {"timeout": 500}
    draw(result, tmp_path / "run.png")


def test_only_what_is_known_is_judged():
    answers = Answers.none(4)
    answers.class_ids[:], answers.exits[:], answers.latency_ms[:] = [1, 1, 2, 2], "base", 1.0
    result = summary(answers, np.array([1, 2, -1, -1]), None, labels=np.array([1, 1, 1, -1]))
    assert (result["judged"], result["wrong"], result["disagreement"]) == (2, 1, 0.5)
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["base_accuracy"] == 0.5
    assert set(result["by_class"]) == {1, 2}


def test_percentiles_are_the_samples_own():
    answers = Answers.none(1000)
    answers.class_ids[:], answers.exits[:] = 1, "base"
    answers.latency_ms[:] = np.random.default_rng(0).permutation(np.arange(1, 1001))
    found = summary(answers, np.ones(1000, int), None)["latency_ms"]
    for name, expected in {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "max": 1000}.items():
        assert found[name] == pytest.approx(expected, rel=0.003)


def test_an_exit_without_a_price_leaves_compute_out():
    answers = Answers.none(10)
    answers.exits[:], answers.latency_ms[:] = "layer9", 1.0
    assert summary(answers, np.zeros(10, int), {"base": 5.0})["compute_ms"] is None
