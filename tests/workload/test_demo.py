"""The demo says how much quicker caches are, of requests that it has sent both ways."""

import numpy as np
import pytest
from click.testing import CliRunner

from workload import demo
from workload.client.answers import Answers
from workload.demo import ask_in_turn
from workload.errors import ServerError, StartError


def answers(count, latency_ms, exits, class_ids):
    found = Answers.none(count)
    found.latency_ms[:], found.exits[:], found.class_ids[:] = latency_ms, exits, class_ids
    return found


def test_both_ways_are_asked_in_turn_and_compared(monkeypatch):
    asked = []

    def send(url, samples, due_s, protocol=None):
        with_caches = protocol is None or "cache=off" not in protocol.path
        asked.append((len(samples), with_caches))
        if with_caches:
            exits = np.array(["input", "base"] * (len(samples) // 2), object)
            return answers(len(samples), 5.0, exits, 1)
        return answers(len(samples), 20.0, "base", 1)

    monkeypatch.setattr(demo, "send", send)
    found = ask_in_turn("http://nowhere", [np.zeros((2, 2, 1), np.uint8)] * 60)
    assert asked[1:] == [(20, True), (20, False)] * 3
    assert found.ratio.value == pytest.approx(4.0)
    assert found.hits == pytest.approx(0.5) and found.differs == 0
    assert "4.00 times quicker. Caches answered 50.0%; 0.0% of all answers differ" in str(found)


def test_a_server_that_fails_is_no_result(monkeypatch):
    def send(url, samples, due_s, protocol=None):
        found = answers(len(samples), 1.0, "base", 1)
        found.failures[:] = "503"
        return found

    monkeypatch.setattr(demo, "send", send)
    with pytest.raises(ServerError, match="503"):
        ask_in_turn("http://nowhere", [np.zeros((2, 2, 1), np.uint8)] * 40)


def test_a_server_that_does_not_start_is_said_in_a_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where there is no serve_config.yaml
    result = CliRunner().invoke(demo.demo, ["--url", "http://127.0.0.1:9"])
    assert isinstance(result.exception, StartError)
    assert "gati serve has ended" in str(result.exception)
    assert "serve_config.yaml cannot be read" in str(result.exception)
