"""Processes that compute on cores: what waits at one is done in turn, and those that work at the
same time share the cores."""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

CLIENT, SERVICE, BACKGROUND = range(3)
"""Whose threads run first."""
NOTHING_MS = 1e-9
Steps = Generator[simpy.Event, Any, None]


@dataclass(eq=False)
class _Task:
    left_ms: float
    threads: int
    urgency: int
    done: simpy.Event
    speed: float = 0.0


class OwnCores:
    """As many as anyone wants."""

    def __init__(self, env: simpy.Environment):
        self._env = env

    def run(self, ms: float, threads: int = 1, urgency: int = SERVICE) -> simpy.Event:
        """Happens when threads, which would take `ms` by themselves, are done."""
        return self._env.timeout(ms)


class Cores:
    """So many, shared evenly by threads that are as urgent as each other; who is less urgent gets
    what they leave.

    Args:
        taken: by who is not simulated. Those simulated were measured beside them, so that it counts
            only where they want more cores than there are.
    """

    def __init__(self, env: simpy.Environment, count: float, taken: float = 0.0):
        self._env, self._count, self._taken = env, count, taken
        self._tasks: list[_Task] = []
        self._at = env.now
        self._plans = 0

    def run(self, ms: float, threads: int = 1, urgency: int = SERVICE) -> simpy.Event:
        """As of `OwnCores`."""
        self._advance()
        task = _Task(ms, threads, urgency, self._env.event())
        self._tasks.append(task)
        self._plan()
        return task.done

    def _advance(self) -> None:
        elapsed_ms, self._at = self._env.now - self._at, self._env.now
        for task in self._tasks:
            task.left_ms -= elapsed_ms * task.speed

    def _plan(self) -> None:
        """How fast everyone is from now on, and who ends first."""
        wanted = sum(task.threads for task in self._tasks if task.urgency != BACKGROUND)
        free = self._count - self._taken if wanted > self._count else self._count
        for urgency in sorted({task.urgency for task in self._tasks}):
            alike = [task for task in self._tasks if task.urgency == urgency]
            threads = sum(task.threads for task in alike)
            for task in alike:
                task.speed = min(1.0, free / threads)
            free = max(0.0, free - threads)
        ends = [task.left_ms / task.speed for task in self._tasks if task.speed]
        if ends:
            self._plans += 1
            wake = self._env.timeout(max(0.0, min(ends)), self._plans)
            wake.callbacks.append(self._wake)

    def _wake(self, wake: simpy.Event) -> None:
        if wake.value != self._plans:  # others have come or gone since
            return
        self._advance()
        ended = [task for task in self._tasks if task.left_ms <= NOTHING_MS]
        self._tasks = [task for task in self._tasks if task.left_ms > NOTHING_MS]
        for task in ended:
            task.done.succeed()
        self._plan()


@dataclass(eq=False)
class Job:
    ms: float
    done: simpy.Event
    since: float
    waited_ms: float = 0.0
    wanted: bool = True


class Process:
    """Does one thing at a time, of things that wait up to `max_rows` together."""

    def __init__(
        self,
        env: simpy.Environment,
        cores: OwnCores | Cores,
        threads: int = 1,
        max_rows: int = 1,
        more_rows: float = 1.0,
        urgency: int = SERVICE,
    ):
        self._env, self._cores, self._threads, self._urgency = env, cores, threads, urgency
        self._max_rows, self._more_rows = max_rows, more_rows
        self._waiting: deque[Job] = deque()
        self._working = False
        self.busy_ms = 0.0

    def do(self, ms: float) -> Job:
        """A job that takes `ms` by itself; whoever does not want it any more says so there."""
        job = Job(ms, self._env.event(), self._env.now)
        self._waiting.append(job)
        if not self._working:
            self._working = True
            self._env.process(self._work())
        return job

    def _work(self) -> Steps:
        while self._waiting:
            together: list[Job] = []
            while self._waiting and len(together) < self._max_rows:
                job = self._waiting.popleft()
                if job.wanted:
                    together.append(job)
                else:
                    job.done.succeed()
            if not together:
                break
            begin, rows = self._env.now, len(together)
            ms = sum(job.ms for job in together) / rows * (1 + self._more_rows * (rows - 1))
            yield self._cores.run(ms, self._threads, self._urgency)
            self.busy_ms += self._env.now - begin
            for job in together:
                job.waited_ms = self._env.now - job.since - job.ms
                job.done.succeed()
        self._working = False
