"""A team as large as the machine has a core for each thread; smaller ones are left alone."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from cache_models.network import threads
from cache_models.network.threads import cores, thread_counts, use_threads


def test_thread_counts_end_with_all_cores():
    assert [thread_counts(most) for most in (1, 2, 6)] == [[1], [1, 2], [1, 2, 4, 6]]


def bound_after(count: int) -> list[int]:
    """Cores of the threads that are bound to a single one, of a new thread and its team."""
    before = set(threads.TASKS.iterdir())

    def compute() -> list[int]:
        torch.ones(2**21).mul_(2)
        assert torch.get_num_threads() == count
        team = set(threads.TASKS.iterdir()) - before
        masks = [os.sched_getaffinity(int(task.name)) for task in team]
        return sorted(core for mask in masks if len(mask) == 1 for core in mask)

    with ThreadPoolExecutor(1, initializer=use_threads, initargs=(count,)) as thread:
        return thread.submit(compute).result()


@pytest.fixture
def _several_cores():
    if cores() == 1 or not Path("/proc/self/task").is_dir():
        pytest.skip("needs Linux and more than one core")


@pytest.mark.usefixtures("_several_cores")
def test_a_team_as_large_as_the_machine_has_a_core_for_each_thread():
    mine = os.sched_getaffinity(0)
    assert bound_after(cores()) == sorted(mine)
    assert os.sched_getaffinity(0) == mine


@pytest.mark.usefixtures("_several_cores")
def test_a_smaller_team_is_left_to_the_scheduler(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: cores() + 1)
    assert bound_after(cores()) == []
