"""What each kind of process takes of the memory, over time."""

import time
from collections.abc import Sequence

import numpy as np
import psutil

from workload.chaos.processes import Processes
from workload.chaos.repeated import Repeated

EVERY_S = 2.0
MB = 2**20


class Memory(Repeated):
    """While it is entered.

    Attributes:
        taken: by kind, at each time (of `time.perf_counter`) the largest of its processes' share,
            in MB; what processes have in common is counted to each in part (PSS).
    """

    def __init__(self, processes: Processes):
        super().__init__(EVERY_S)
        self._processes = processes
        self.taken: dict[str, list[tuple[float, float]]] = {}

    def once(self) -> None:
        for kind, found in self._processes.by_kind().items():
            if taken := [mb for process in found if (mb := _mb(process))]:
                self.taken.setdefault(kind, []).append((time.perf_counter(), max(taken)))

    def rows(self) -> list[tuple[str, float, float, float, float]]:
        """Of each kind: MB at the start, the most, at the end, and how many a minute are added over
        the second half, by least squares."""
        return [(kind, *_summary(times)) for kind, times in sorted(self.taken.items())]


def _mb(process: psutil.Process) -> float | None:
    try:
        return process.memory_full_info().pss / MB
    except psutil.Error:
        return None


def _summary(times: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    at_s, mb = np.array(times).T
    half = slice(len(mb) // 2, None)
    slope = np.polyfit(at_s[half], mb[half], 1)[0] * 60 if len(mb) >= 4 else 0.0
    return float(mb[0]), float(mb.max()), float(mb[-1]), float(slope)


def as_table(rows: Sequence[tuple[str, float, float, float, float]]) -> str:
    """For people, in Markdown."""
    lines = ["| process | MB at first | most | at last | MB/min, second half |", "| --- " * 5 + "|"]
    lines += [
        f"| {kind} | {first:.0f} | {most:.0f} | {last:.0f} | {slope:+.1f} |"
        for kind, first, most, last, slope in rows
    ]
    return "\n".join(lines)
