"""What routers are told, from what they observed: which version, at which threshold or not at all,
and how many requests to sample.

Nothing here waits or computes for long: it runs on the trainer's event loop.
"""

from typing import Any

import numpy as np

from cache_models.cascade import Control
from cache_models.network.stages import BASE
from cache_models.store.version import CacheVersion
from deployments.config import AppArgs, Mode
from deployments.follow.messages import Instructions, Report
from deployments.follow.recent import Recent
from deployments.follow.sample_rate import SampleRate
from deployments.follow.schedule import Seen
from deployments.follow.served import Served
from deployments.follow.watch import Watch


class ControlPolicy:
    """
    Args:
        version: in service.
        processors: that there are, for the bound of what samples take.

    Attributes:
        version: in service; changed by `serve`.
        watch: at which threshold its caches may answer.
        served: what it has done.
        forgotten: as of `Instructions`.
    """

    def __init__(self, args: AppArgs, version: CacheVersion, processors: float):
        plan = version.plan
        self.version = version
        self.watch = Watch(version, args.guard, args.sampling)
        self.served = Served(version)
        self.forgotten = 0
        self._recent = Recent(np.array(plan.class_shares), plan.expected.hit_rate)
        self._hits_fell = args.retraining.hits_fell
        sample_s = plan.expected.base_compute_ms * plan.threads / 1e3
        self._rate = SampleRate(args.sampling, processors, sample_s)

    # --- what comes in ---------------------------------------------------------------------------

    def hear(self, report: Report, mode: Mode) -> None:
        """Take in what a router has to tell."""
        on = mode == "serve" and self.may_answer
        missed = sum(o.stands_for for o in report.observations if o.exit == BASE)
        self._recent.advance(report.answered, missed if on else None)
        if on:
            self.served.advance(report.answered, missed)
        for observation in report.observations:
            self._recent.observe(observation.base_class_id, observation.stands_for)
            if observation.weight and observation.version == self.version.number:
                self.watch.observe(observation)
        sampled = sum(o.weight > 0 for o in report.observations)
        self._rate.hear(report.answered, sampled, report.spent_s)
        if mode != "off":  # where nobody samples
            self.watch.count(report.answered, sampled)

    def serve(self, version: CacheVersion) -> None:
        """Another version is in service; its caches may answer if it ever kept the promise."""
        self.version, self.served = version, Served(version, self.served.hit_rate)
        self.watch.begin(version)

    # --- what goes out ---------------------------------------------------------------------------

    def instructions(self, mode: Mode) -> Instructions:
        """
        Args:
            mode: that operators want.
        """
        on = mode == "serve" and self.may_answer
        control = Control(self.version.number, on, self.watch.threshold)
        return Instructions(mode, self.sample_rate, self.trained, control, self.forgotten)

    @property
    def trained(self) -> bool:
        """Whether the version in service has caches that ever kept the promise."""
        return self.version.plan.promise.threshold is not None

    @property
    def may_answer(self) -> bool:
        """Whether nothing speaks against the caches in service."""
        return self.watch.threshold is not None

    @property
    def sample_rate(self) -> float:
        """Wanted share of requests to run on to the base DNN's end."""
        if not self.version.plan.caches:
            return self._rate.rate("little")  # there is nothing to learn
        if not self.trained:
            return 1.0  # the base DNN answers everything, and nothing is to be run on
        return self._rate.rate("all" if self._has_changed else self.watch.need)

    @property
    def _has_changed(self) -> bool:
        """Whether so many fewer hit than usually that new caches should be learned soon: those that
        miss cost nothing to sample."""
        return self._recent.hit_rate < self._recent.usual - self._hits_fell

    @property
    def may_spend(self) -> bool:
        """Whether samples leave something of the processors' time that they may take."""
        return self._rate.may_spend

    def spend(self, seconds: float) -> None:
        """So much of it has been taken."""
        self._rate.hear(0, 0, seconds)

    def seen(self) -> Seen:
        """For the schedule."""
        return Seen(self._recent.shares, self.watch.why_off, self._recent.hit_rate)

    def status(self, mode: Mode) -> dict[str, Any]:
        """For `/stats`."""
        watch = self.watch
        return {
            "guard": {
                "caches": "off: " + watch.why_off if watch.why_off else mode,
                **watch.status(),
            },
            "cache_version": self.version.number,
            "sampling": {
                "rate": round(self.sample_rate, 4),
                "why": "hits have fallen" if self._has_changed else watch.need,
                "share_of_processors": round(self._rate.share, 4),
            },
            "recent_hit_rate": round(self._recent.hit_rate, 4),
            "class_mix": self._recent.shares.round(4).tolist(),
        }
