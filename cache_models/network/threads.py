"""How many threads there may be, and which of them wait for all others."""

import os
import threading


def cores() -> int:
    """How many there are for the calling thread."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_counts(most: int) -> list[int]:
    """1, 2, 4 and so on, and all cores.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    return sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})


def lowest_priority() -> None:
    """For the calling thread, which then runs only when nothing else wants the core: Ray gives all
    its workers a low priority, beside which the lowest would still have a third of a core's
    time."""
    thread = threading.get_native_id()
    try:
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # not on Linux, or not allowed
        os.setpriority(os.PRIO_PROCESS, thread, 19)
