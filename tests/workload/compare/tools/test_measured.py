"""Every system is measured by tools and by the project's client, on the same requests."""

from collections import Counter

import numpy as np
import pytest

from tests.workload.compare.tools.told import ANSWER, PICTURES, TOOK_S, Told
from tests.workload.fake_server import serving
from workload.compare.tools import measured
from workload.compare.tools.asked import Run

LEAST = measured.LEAST_QUERIES


@pytest.fixture(autouse=True)
def two_rounds(monkeypatch):
    monkeypatch.setattr(measured, "ROUNDS", 2)


def measure(urls, folder):
    return measured.measure(urls, PICTURES, 200.0, 1.0, 0.0, folder, seed=0)


def test_loadgen_and_the_client_ask_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(measured.wrk, "installed", lambda: False)
    one, other = Told(ANSWER), Told(ANSWER)
    with serving(one) as url, serving(other) as second:
        found = measure({"plain": url, "gati": second}, tmp_path)
    assert found["queries"] == {"SingleStream": LEAST, "Server": LEAST, "Offline": LEAST}
    for told in (one, other):
        runs = Counter(
            tuple(sorted(told.bodies[at : at + LEAST])) for at in range(0, len(told.bodies), LEAST)
        )
        each = 1 + 2 * 2  # of each scenario one before, and of each round both
        assert sum(runs.values()) == 3 * each and all(n % each == 0 for n in runs.values())
    assert Counter(one.bodies) == Counter(other.bodies)
    assert list(found["scenarios"]) == ["SingleStream", "Server", "Offline"]
    for scenario in found["scenarios"].values():
        for of in scenario.values():
            assert all(len(rounds) == 2 for rounds in of.values())
            assert not any(r["failures"] for rounds in of.values() for r in rounds)


def test_where_wrk_is_installed_it_asks_too(tmp_path, monkeypatch):
    def one(url, samples, seconds, folder):
        return Run([i % len(samples) for i in range(30)], figures={"per_s": 40.0})

    monkeypatch.setattr(measured.wrk, "installed", lambda: True)
    monkeypatch.setattr(measured.wrk, "one", one)
    told = Told(ANSWER)
    with serving(told) as url:
        found = measure({"plain": url}, tmp_path)
    assert found["wrk_s"] >= 1
    rounds = found["scenarios"]["wrk"]["plain"]
    assert [r["per_s"] for r in rounds["tool"]] == [40.0] * 2
    assert all(0 < r["per_s"] < 1 / TOOK_S and not r["failures"] for r in rounds["client"])


def test_the_client_says_how_many_a_second_it_was_answered_of_all_at_once():
    run = Run(order=[i % 12 for i in range(40)], at_s=[0.0] * 40)
    with serving(Told(ANSWER)) as url:
        found = measured._by_client(url, PICTURES, "Offline", run, 0)
    assert found.keys() == {"per_s", "failures"}
    assert 0 < found["per_s"] < 64 / TOOK_S and not found["failures"]
    assert np.isfinite(found["per_s"])
