"""What nobody waits for: the rest of sampled requests, which must not stand in front of others."""

import time
from collections.abc import Callable

import numpy as np

from cache_models.network.slice import Slice
from cache_models.network.stages import Activation, Answer, Reply
from cache_models.network.threads import lowest_priority
from deployments.graph.batching import Batching
from deployments.graph.compute import ComputeThread


class Background:
    """Computes beside requests, in a thread of the lowest priority, which runs when they leave a
    core idle.

    Each message is computed by itself, and the `compute_ms` of its reply are of the processor's
    time, that of waiting for a core left out.

    Args:
        make: the slice, for this thread; called with the first message, so that memory is taken
            only where something is sampled.
    """

    def __init__(self, make: Callable[[], Slice]):
        self._make = make
        self._slice: Slice | None = None
        self._thread = ComputeThread(lowest_priority)
        self._batching = Batching(self._thread, self._compute, max_rows=1, clock=time.thread_time)

    def check_health(self) -> None:
        """
        Raises:
            RuntimeError: its thread has ended.
        """
        self._thread.check_health()

    async def reply(self, until: float | None, batch: np.ndarray, resized: bool) -> Reply:
        """Arguments as of `Run`.

        Args:
            until: of `time.monotonic`; what has not begun by then is not computed.
        """
        return await self._thread.done(self._batching.submit(batch, resized, until=until))

    def _compute(self, batch: np.ndarray, resized: bool) -> Activation | Answer:
        if self._slice is None:
            self._slice = self._make()
        return self._slice(batch, resized)
