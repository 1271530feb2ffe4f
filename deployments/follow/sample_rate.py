"""How many requests to sample: as many as there is still something to learn from, and no more than
the processor time that is allowed for it."""

import math
import time
from collections.abc import Callable

import ray

from cache_models.network.threads import cores
from cache_models.promise.sampling import Need
from deployments.config import Sampling

MEMORY_S = 20.0
NEWEST = 0.1
"""Weight of a sample in what one takes, which is little where caches are off or most miss."""


def processors() -> float:
    """Of the cluster, or of this machine where no cluster is."""
    if ray.is_initialized():
        return max(1.0, float(ray.cluster_resources().get("CPU", 1.0)))
    return float(cores())


class SampleRate:
    """
    Args:
        processors: that there are.
        sample_s: processor time of running one request on, before any has been.
        clock: in seconds.
    """

    def __init__(
        self,
        args: Sampling,
        processors: float,
        sample_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._args, self._processors, self._clock = args, processors, clock
        self._answered = self._spent_s = 0.0
        self._sample_s, self._at = sample_s, clock()

    def hear(self, answered: int, sampled: int, spent_s: float) -> None:
        """So much has been answered, run on, and spent on it since the last call."""
        now = self._clock()
        kept = math.exp((self._at - now) / MEMORY_S)
        self._answered, self._spent_s = kept * self._answered, kept * self._spent_s
        self._at = now
        self._answered += answered
        self._spent_s += spent_s
        if sampled:
            self._sample_s += min(1.0, NEWEST * sampled) * (spent_s / sampled - self._sample_s)

    def rate(self, need: Need) -> float:
        """The share of requests to sample."""
        args = self._args
        wanted = {
            "all": 1.0,
            "suspicion": max(args.rate, args.raised_rate),
            "much": args.rate,
            "little": min(args.rate, args.rest_rate),
        }[need]
        return min(wanted, max(args.min_rate, self.affordable))

    @property
    def affordable(self) -> float:
        """The share that takes just as much processor time as is allowed."""
        requests = max(self._answered, 1.0)
        allowed_s = self._args.max_share * self._processors * MEMORY_S
        return min(1.0, allowed_s / (requests * max(self._sample_s, 1e-6)))

    @property
    def may_spend(self) -> bool:
        """Whether less has been spent lately than is allowed."""
        return self.share < self._args.max_share

    @property
    def share(self) -> float:
        """Of the processors' time, that was spent on samples lately."""
        return self._spent_s / (self._processors * MEMORY_S)
