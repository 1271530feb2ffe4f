"""Measure what a call from one deployment to another costs on the cluster at hand.

One deployment calls another through the same `transport` as the router does, with messages of the
sizes that features and activations have. Calls are spaced, as those of requests are: back to back
they would find caches and threads warmer than requests do.
"""

import asyncio
import statistics
import time

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from cache_models.plan import HopCost
from deployments.transport import Remote

SIZES = (1_000, 16_000, 100_000, 400_000, 1_600_000)
APP = "gati-measure"


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Echo:
    """Answers any message with a small one."""

    async def receive(self, message: np.ndarray) -> np.ndarray:
        return message[:1]


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Caller:
    """Calls `Echo` as the router calls a partition or a lookup."""

    def __init__(self, echo: DeploymentHandle):
        self._echo = Remote(echo)

    async def median_ms(self, size: int, calls: int, pause_s: float) -> float:
        message = np.zeros(size, np.uint8)
        times = []
        for _ in range(calls):
            await asyncio.sleep(pause_s)
            start = time.perf_counter()
            await self._echo.call("receive", message, expected_bytes=size)
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e3


def measure(calls: int = 100, pause_s: float = 0.01) -> tuple[HopCost, dict[int, float]]:
    """The cost of a hop, fitted by least squares, and the median milliseconds by message size.

    Starts Ray and Serve if none runs, and removes only what it deployed.
    """
    caller = serve.run(Caller.bind(Echo.bind()), name=APP, route_prefix=None)

    async def all_sizes() -> dict[int, float]:
        await caller.median_ms.remote(SIZES[0], calls, pause_s)  # warm-up
        return {size: await caller.median_ms.remote(size, calls, pause_s) for size in SIZES}

    try:
        by_size = asyncio.run(all_sizes())
    finally:
        serve.delete(APP)
    per_mb_ms, fixed_ms = np.polyfit([size / 1e6 for size in by_size], list(by_size.values()), 1)
    return HopCost(fixed_ms=max(0.0, fixed_ms), per_mb_ms=max(0.0, per_mb_ms)), by_size
