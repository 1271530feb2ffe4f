"""LoadGen decides what is asked when, and its own log says what it took."""

import sys

import numpy as np
import pytest

from tests.workload.compare.tools.told import ANSWER, PICTURES, TOOK_S, Told
from tests.workload.fake_server import serving
from workload.client.protocols import png
from workload.compare.tools import loadgen
from workload.errors import ParameterError


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


def test_all_at_once_says_how_many_a_second(tmp_path):
    told = Told(ANSWER)
    with serving(told) as url:
        run = loadgen.one(url, PICTURES, "Offline", 40, 1.0, tmp_path)
    assert run.at_s == [0.0] * 40
    assert run.found.keys() == {"per_s", "failures"}
    assert 0 < run.figures["per_s"] < 64 / TOOK_S and not run.failures


def test_answers_that_cannot_be_read_are_counted(tmp_path):
    with serving(Told({})) as url:
        run = loadgen.one(url, PICTURES, "Server", 20, 500.0, tmp_path)
    assert sum(run.failures.values()) == 20


def test_without_loadgen_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(ParameterError, match=r"\[loadgen\]"):
        loadgen.check_installed()
