"""An application of one stage, for tests of what lies between router and replicas."""

import asyncio
import os
import time
from pathlib import Path

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from cache_models.network.stages import (
    INPUT,
    Answer,
    Message,
    Run,
    Stage,
    in_background,
)
from deployments.config import Compute, LaneArgs
from deployments.graph.replica import Replica
from deployments.transport.errors import PlaceError
from deployments.transport.place import connect
from tests.deaths import end

STAGE = Stage("partition", 0, 0, INPUT, None)
ANSWER, RAISE, HOLD, BLOCK, END = range(5)
"""What is asked: answer at once, raise, answer once the file `go` is there, beside others or while
they cannot be computed; or lose the thread that computes."""
LARGE = 3_000_000


class Folder:
    """What has happened at all replicas, in order, and whether they may go on."""

    def __init__(self, folder: Path | str):
        self._log, self.go = Path(folder) / "log", Path(folder) / "go"

    def write(self, what: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{os.getpid()} {what}\n")

    def read(self) -> list[list[str]]:
        """Rows of process, what happened, and what was asked."""
        return [line.split() for line in self._log.read_text().splitlines()]

    def count(self, what: str, asked: int | None = None) -> int:
        return sum(w == what and asked in (None, int(a)) for _, w, a in self.read())

    def processes(self, what: str, asked: int) -> set[int]:
        return {int(pid) for pid, w, a in self.read() if (w, int(a)) == (what, asked)}

    def clear(self) -> None:
        self._log.write_text("")
        self.go.unlink(missing_ok=True)


@serve.deployment(
    max_ongoing_requests=2,
    max_queued_requests=2,
    health_check_period_s=1,
    graceful_shutdown_timeout_s=120,
    ray_actor_options={"num_cpus": 0.1},
)
class Worker(Replica):
    def __init__(self, folder: str, lane: LaneArgs, store: str):
        super().__init__(Compute(threads=1, max_batch_rows=1), lane, store)
        self._folder = Folder(folder)

    async def _reply(self, message: Message, until: float | None) -> Answer:
        asked = int(message.batch[0, 0])
        self._folder.write(f"{'aside' if in_background(message) else 'enter'} {asked}")
        try:
            if asked == END:
                await asyncio.to_thread(end, self._place)
            while asked == HOLD and not self._folder.go.exists():
                await asyncio.sleep(0.01)
            return await self._computed(until, message.batch)
        finally:
            self._folder.write(f"leave {asked}")

    def _compute(self, batch: np.ndarray) -> Answer:
        asked = int(batch[0, 0])
        self._folder.write(f"compute {asked}")
        if asked == RAISE:
            raise ValueError("a bad request")
        while asked == BLOCK and not self._folder.go.exists():
            time.sleep(0.01)
        return Answer(np.zeros(1, int), np.ones((1, 1), np.float32))


@serve.deployment(max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.1})
class Asker:
    """Asks as the router does."""

    def __init__(self, application: str, lane: LaneArgs, store: str):
        workers = serve.get_deployment_handle("Worker", application)
        self._place = connect([STAGE], {STAGE.name: workers}, lane, store, bytes_per_value=4)

    async def ask(
        self, what: int, timeout_s: float | None = None, size: int = 1, background: bool = False
    ) -> str:
        """`answered`, or the kind of error."""
        message = Run(np.full((1, size), what, np.uint8), background=background)
        try:
            await self._place.ask(STAGE, message, timeout_s)
        except PlaceError as error:
            return type(error).__name__
        return "answered"

    async def by_way(self) -> dict[str, int]:
        await self._place.ping([STAGE])
        return self._place.by_way[STAGE.name]


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Front:
    """What an application needs besides its workers, which get no HTTP of their own."""

    def __init__(self, workers: DeploymentHandle):
        pass


def workers(folder: Path, lane: LaneArgs) -> serve.Application:
    """One worker; every deploy is a new version of it."""
    return Front.bind(Worker.bind(str(folder), lane, str(folder)))
