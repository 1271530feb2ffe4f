"""Kills at random, as the operating system does when memory is short: nobody is asked."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import psutil

from workload.chaos.processes import Processes
from workload.chaos.repeated import Repeated

LOOK_S = 0.25


@dataclass
class Kill:
    """
    Attributes:
        at_s: of `time.perf_counter`.
        back_s: after how long as many of its kind lived again as at the start; None: not before
            the end.
    """

    kind: str
    pid: int
    at_s: float
    back_s: float | None = None


class Killer(Repeated):
    """While it is entered, kills one process every so often.

    Args:
        kinds: of which each time one is drawn, and then a process of it.
        after_s, for_s: from when it is entered the first is killed, and for so long others are.

    Attributes:
        kills: in order.
    """

    def __init__(
        self,
        processes: Processes,
        kinds: Sequence[str],
        every_s: float,
        after_s: float,
        for_s: float,
        seed: int,
    ):
        super().__init__(LOOK_S)
        self._processes, self._kinds, self._kill_every_s = processes, list(kinds), every_s
        self._due_s, self._until_s = after_s, after_s + for_s
        self._random = random.Random(seed)
        self._whole: dict[str, int] = {}
        self.kills: list[Kill] = []

    def __enter__(self) -> Self:
        self._whole = {kind: len(found) for kind, found in self._processes.by_kind().items()}
        self._began_s = time.perf_counter()
        return super().__enter__()

    def once(self) -> None:
        living = self._processes.by_kind()
        self._note_who_is_back(living)
        if self._due_s <= time.perf_counter() - self._began_s < self._until_s:
            self._due_s += self._kill_every_s
            self._kill_one_of(living)

    def _note_who_is_back(self, living: dict[str, list[psutil.Process]]) -> None:
        for kill in self.kills:
            if kill.back_s is None:
                found = [process.pid for process in living.get(kill.kind, ())]
                if len(found) >= self._whole[kill.kind] and kill.pid not in found:
                    kill.back_s = time.perf_counter() - kill.at_s

    def _kill_one_of(self, living: dict[str, list[psutil.Process]]) -> None:
        there = [kind for kind in self._kinds if living.get(kind)]
        if not there:
            return
        kind = self._random.choice(there)
        victim = self._random.choice(living[kind])
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            return
        self.kills.append(Kill(kind, victim.pid, time.perf_counter()))
