"""Threads, wait policy and batch caps are chosen from what was measured."""

import os

import pytest
import yaml

from cache_models.bench.tuning import (
    BATCHES,
    SPIN_COUNT,
    Call,
    Setting,
    Tuned,
    choose,
    describe,
    with_spins,
)

ONE, TWO, FOUR = Setting(1, 0), Setting(2, 20_000), Setting(4, 20_000)


def at_batch_1(calls: dict[Setting, Call]) -> Setting:
    return choose("Partition0", {setting: {1: call} for setting, call in calls.items()}, 2).setting


def test_more_threads_are_chosen_only_where_they_are_quicker():
    assert at_batch_1({ONE: Call(10.0), TWO: Call(9.6), FOUR: Call(9.7)}) == ONE
    assert at_batch_1({ONE: Call(10.0), TWO: Call(6.0), FOUR: Call(5.9)}) == TWO


def test_threads_wait_only_as_long_as_it_pays():
    sleeps, spins, never_sleeps = Setting(2, 0), TWO, Setting(2, 2_000_000)
    assert at_batch_1({sleeps: Call(35.0), spins: Call(20.0, 1.0)}) == spins
    assert at_batch_1({spins: Call(20.0, 1.0), never_sleeps: Call(18.0, 60.0)}) == spins
    assert at_batch_1({sleeps: Call(20.1), spins: Call(20.0, 1.0)}) == sleeps


def test_a_process_spins_as_often_as_it_is_told_and_the_others_as_before(monkeypatch):
    monkeypatch.setenv(SPIN_COUNT, "7")
    assert with_spins(20_000, os.getenv, SPIN_COUNT) == "20000"
    assert os.environ[SPIN_COUNT] == "7"


def test_the_batch_cap_is_the_smallest_with_nearly_the_least_time_a_row():
    def cap(ms: dict[int, float]) -> int:
        return choose("Lookup0", {ONE: {n: Call(spent) for n, spent in ms.items()}}, 2).batch_cap

    assert cap({1: 1.0, 2: 1.2, 4: 2.0, 8: 3.95}) == 4
    assert cap({1: 10.0, 2: 19.8, 4: 39.5}) == 1


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_to_be_written_is_what_was_measured(compiled):
    calls = dict.fromkeys(BATCHES, Call(1.0))
    text = describe([Tuned("Partition0", TWO, 4, calls), Tuned("Lookup0", ONE, 8, calls)], compiled)
    written = yaml.safe_load(text[text.index("args:") :])
    overrides = written["args"]["overrides"]
    as_measured = {"device": "auto", "threads": 2, "max_batch_rows": 4}
    assert overrides["Partition0"] == as_measured | ({"compile": True} if compiled else {})
    assert overrides["Lookup0"] == {"device": "cpu", "threads": 1, "max_batch_rows": 8}
    [waits] = written["deployments"]
    assert waits["name"] == "Partition0"
    assert waits["ray_actor_options"] == {
        "num_cpus": 0.1,
        "runtime_env": {"env_vars": {"GOMP_SPINCOUNT": "20000"}},
    }
