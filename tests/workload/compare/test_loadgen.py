"""LoadGen decides what is asked when, and the project's client asks the same."""

import sys
import time
from collections import Counter

import numpy as np
import pytest

from tests.workload.fake_server import serving
from workload.client.protocols import png
from workload.compare import loadgen
from workload.errors import ParameterError

PICTURES = [np.full((4, 4, 1), i, np.uint8) for i in range(12)]
TOOK_S = 0.002


class Told:
    """What a server was asked, in order."""

    def __init__(self, answer: dict):
        self.answer, self.bodies = answer, []

    def __call__(self, _: str, body: bytes) -> dict:
        self.bodies.append(body)
        time.sleep(TOOK_S)
        return self.answer


ANSWER = {"class_id": 1, "exit": "base", "cache_version": None}


@pytest.mark.parametrize("scenario", ["SingleStream", "Server"])
def test_loadgen_asks_by_itself_and_its_own_log_says_what_it_took(scenario, tmp_path):
    told = Told(ANSWER)
    with serving(told) as url:
        run = loadgen.one(url, PICTURES, scenario, 30, 200.0, tmp_path)
    assert len(run.order) == len(told.bodies) == 30
    assert sorted(told.bodies) == sorted(png(PICTURES[i]) for i in run.order)
    assert run.at_s[0] == 0 and np.all(np.diff(run.at_s) >= 0)
    assert not run.failures
    assert run.figures["p50_ms"] >= 1e3 * TOOK_S
    assert run.figures["p99_ms"] >= run.figures["mean_ms"] >= 1e3 * TOOK_S
    assert (tmp_path / "mlperf_log_summary.txt").exists()


def test_one_query_after_the_other_waits_for_the_last_ones_answer(tmp_path):
    told = Told(ANSWER)
    with serving(told) as url:
        run = loadgen.one(url, PICTURES, "SingleStream", 30, 1.0, tmp_path)
    assert told.bodies == [png(PICTURES[i]) for i in run.order]
    assert np.all(np.diff(run.at_s) >= TOOK_S)


def test_every_system_is_measured_by_both_on_the_same_requests(tmp_path, monkeypatch):
    monkeypatch.setattr(loadgen, "ROUNDS", 2)
    one, other = Told(ANSWER), Told(ANSWER)
    with serving(one) as url, serving(other) as second:
        found = loadgen.measure(
            {"plain": url, "gati": second}, PICTURES, 200.0, 1.0, 0.0, tmp_path, seed=0
        )
    least = loadgen.LEAST_QUERIES
    assert found["queries"] == {"SingleStream": least, "Server": least, "Offline": least}
    for told in (one, other):
        runs = Counter(
            tuple(sorted(told.bodies[at : at + least])) for at in range(0, len(told.bodies), least)
        )
        each = 1 + 2 * 2  # of each scenario one before, and of each round both
        assert sum(runs.values()) == 3 * each and all(n % each == 0 for n in runs.values())
    assert Counter(one.bodies) == Counter(other.bodies)
    for scenario in found["scenarios"].values():
        for of in scenario.values():
            assert all(len(rounds) == 2 for rounds in of.values())
            assert not any(r["failures"] for rounds in of.values() for r in rounds)


def test_all_at_once_says_how_many_a_second(tmp_path):
    told = Told(ANSWER)
    with serving(told) as url:
        run = loadgen.one(url, PICTURES, "Offline", 40, 1.0, tmp_path)
        by_client = loadgen._by_client(url, PICTURES, "Offline", run, 0)
    assert sorted(told.bodies[:40]) == sorted(told.bodies[40:])
    assert run.at_s == [0.0] * 40
    for found in (run.found, by_client):
        assert found.keys() == {"per_s", "failures"}
        assert 0 < found["per_s"] < 64 / TOOK_S and not found["failures"]


def test_answers_that_cannot_be_read_are_counted(tmp_path):
    with serving(Told({})) as url:
        run = loadgen.one(url, PICTURES, "Server", 20, 500.0, tmp_path)
    assert sum(run.failures.values()) == 20


def test_without_loadgen_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(ParameterError, match=r"\[loadgen\]"):
        loadgen.check_installed()
