"""PyTorch's threads within one operation, and the cores they run on.

A team of as many threads as there are cores gets a core for each. The scheduler may otherwise wake
two of them on one core, where each spins while it waits for the other, until it moves one away:
that happens to a team that has slept, such as that of a slice that few requests reach, and makes
the slice a fifth slower on average, and twice as slow one time in ten. Smaller teams are left to
the scheduler, since those of several processes would share some cores while others are idle.
"""

import os
from pathlib import Path

import torch

TASKS = Path("/proc/self/task")
PARALLEL = 2**20
"""Elements enough for an operation to be divided among all threads."""


def cores() -> int:
    """How many there are for the calling thread."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_counts(most: int) -> list[int]:
    """1, 2, 4 and so on, and all cores.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    return sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})


def use_threads(count: int) -> None:
    """Let the operations of the calling thread run with `count` threads.

    To be called first in a thread that does nothing but compute: its team is what its first
    operation starts, and processes that it starts inherit its core.
    """
    torch.set_num_threads(count)
    if count == 1 or count != cores() or not TASKS.is_dir():
        return
    before = set(TASKS.iterdir())
    torch.zeros(PARALLEL).add_(1)
    team = [int(task.name) for task in set(TASKS.iterdir()) - before]
    if len(team) != count - 1:  # another part of the process started a thread meanwhile
        return
    for thread, core in zip([0, *team], sorted(os.sched_getaffinity(0)), strict=True):
        os.sched_setaffinity(thread, {core})
