"""Measure what a call from one deployment to another costs on the cluster at hand.

One deployment calls another through the same `transport` as the router does, with messages of the
sizes that features and activations have. Calls are spaced, as those of requests are: back to back
they would find caches and threads warmer than requests do.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from cache_models.network.stages import INPUT, Answer, Message, Run, Stage
from cache_models.store.plan import HopCost
from deployments.config import Compute, LaneArgs
from deployments.graph.replica import Replica
from deployments.nodes import count_nodes
from deployments.transport.place import connect
from deployments.transport.zmq.key import make_key

SIZES = (1_000, 16_000, 100_000, 400_000, 1_600_000)
APP = "gati-measure"
WARM_UP = 100
"""Calls, in which the lane is found, too."""


ECHO = Stage("partition", 0, 0, INPUT, None)


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Echo(Replica):
    """Answers any message with a small one, as a partition or a lookup does that has nothing to
    compute."""

    async def _reply(self, message: Message, until: float | None) -> Answer:
        return await self._computed(until, message.batch)

    def _compute(self, batch: np.ndarray) -> Answer:
        return Answer(np.zeros(1, int), np.zeros((1, 1), np.float32))


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Caller:
    """Asks `Echo` as the router asks a partition or a lookup."""

    def __init__(self, echo: DeploymentHandle, store: str, lane: LaneArgs):
        self._place = connect([ECHO], {ECHO.name: echo}, lane, store, bytes_per_value=4)

    async def median_ms(self, size: int, calls: int, pause_s: float) -> float:
        message = Run(np.zeros((1, size), np.uint8))
        times = []
        for _ in range(calls):
            await asyncio.sleep(pause_s)
            start = time.perf_counter()
            await self._place.ask(ECHO, message)
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e3


def measure(
    calls: int = 100, pause_s: float = 0.01, lane: bool = True
) -> tuple[HopCost, dict[int, float]]:
    """The cost of a hop, fitted by least squares, and the median milliseconds by message size.

    Starts Ray and Serve if none runs, and removes only what it deployed.

    Args:
        lane: go by lane where that is possible, which is on this node; else by Serve's handles.

    Raises:
        ValueError: there are several nodes, and a hop between them is not what is measured here.
    """
    ray.init(ignore_reinit_error=True)
    if (nodes := count_nodes()) > 1:
        raise ValueError(
            f"there are {nodes} nodes, and this measures a call within one: run it on one alone, "
            f"or write what a call between them costs, as in {HopCost().model_dump_json()}"
        )
    with tempfile.TemporaryDirectory(prefix="gati-measure-") as store:
        make_key(Path(store))
        args = LaneArgs(enabled=lane)
        caller = Caller.bind(Echo.bind(Compute(threads=1), args, store), store, args)
        return _measure(serve.run(caller, name=APP, route_prefix=None), calls, pause_s)


def _measure(
    caller: DeploymentHandle, calls: int, pause_s: float
) -> tuple[HopCost, dict[int, float]]:

    async def all_sizes() -> dict[int, float]:
        await caller.median_ms.remote(SIZES[0], calls + WARM_UP, pause_s)
        return {size: await caller.median_ms.remote(size, calls, pause_s) for size in SIZES}

    try:
        by_size = asyncio.run(all_sizes())
    finally:
        serve.delete(APP)
    per_mb_ms, fixed_ms = np.polyfit([size / 1e6 for size in by_size], list(by_size.values()), 1)
    return HopCost(fixed_ms=max(0.0, fixed_ms), per_mb_ms=max(0.0, per_mb_ms)), by_size
