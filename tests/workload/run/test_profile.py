"""Where the time of requests went adds up to their latency."""

import numpy as np
import pytest

from workload.client.answers import Answers
from workload.run.profile import WARM_UP, describe, digest


def answered(n):
    answers = Answers.none(n)
    answers.latency_ms[:], answers.server_ms[:] = 12.0, 10.0
    answers.exits[:] = np.where(np.arange(n) % 4 == 0, "base", "input")
    return answers


def test_what_every_step_took_adds_up_to_the_latency():
    n = WARM_UP + 40
    lookup = {"at_ms": 1.0, "ms": 4.0, "queued_ms": 0.5, "compute_ms": 2.0, "hop_ms": 1.5}
    steps = [{"step": "decode", "at_ms": 0.0, "ms": 1.0}, {"step": "Lookup0", **lookup}]
    base = {"at_ms": 3.0, "ms": 6.0, "queued_ms": 0.0, "compute_ms": 5.0, "hop_ms": 1.0}
    traces = [steps + [{"step": "Partition0", **base}] * (i % 4 == 0) for i in range(n)]
    found = digest(answered(n), traces)
    assert found.http_ms == pytest.approx(2.0)
    assert set(np.round(found.router_ms, 6)) == {1.0, 5.0}  # begun while the lookup was asked
    assert found.by_step["Partition0"].shape == (10, 4)
    text = describe(found, {"input": 2.0, "base": 10.0})
    assert "the same exits in one process: 4.00 ms; serving tax 3.00" in text
    assert "40 requests, one by one: mean 12.00 ms" in text


def test_without_an_exit_in_the_process_there_is_no_tax_to_tell():
    assert "tax" not in describe(digest(answered(30), [[]] * 30), {"input": 2.0})
