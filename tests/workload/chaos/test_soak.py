"""A soak tells each part of its time by itself."""

import numpy as np

from workload.chaos import soak as module
from workload.client.answers import Answers

TRUTH = np.arange(10)


def server(url, bodies, due_s, in_flight, count) -> Answers:
    """Answers rightly, and in the second half one of ten otherwise, late, or not at all."""
    answers = Answers.none(count)
    answers.due_s[:] = due_s
    answers.exits[:], answers.latency_ms[:] = "input", 10
    answers.class_ids[:] = list(bodies)
    late = np.arange(count) >= count // 2
    tenth = np.arange(count) % 10
    answers.class_ids[late & (tenth == 0)] = -5
    answers.latency_ms[late & (tenth > 4)] = 30
    answers.exits[late & (tenth == 1)] = "error"
    answers.failures[late & (tenth == 1)] = "HTTP 500"
    return answers


def test_what_becomes_worse_in_time_is_seen(monkeypatch):
    monkeypatch.setattr(module, "send", server)
    rows = module.soak("http://nowhere", TRUTH, TRUTH, rate_per_s=100, seconds=8, seed=0)
    first, _, _, last, whole = rows
    assert (first.requests, first.right, first.wrong, first.p50_ms) == (200, 200, 0, 10)
    assert (last.right, last.wrong, last.lost, last.p50_ms) == (160, 20, {"HTTP 500": 20}, 30)
    assert (whole.requests, whole.right) == (800, 720)
    assert "| 4 of 4 | 200 | 160 | 20 | 0 | 0 | 20 HTTP 500 | 30 / 30 |" in module.describe(rows)
