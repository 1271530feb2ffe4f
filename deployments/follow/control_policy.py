"""What routers are told, from what they observed: which version, whether caches may answer, the
class mix of the moment with its threshold, and how many requests to sample.

Nothing here waits or computes for long: it runs on the trainer's event loop.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cache_models.cascade import Control
from cache_models.promise.class_prior import Arrivals, ClassPrior, Excess, RecentRate
from cache_models.store.versions import CacheVersion
from deployments.config import AppArgs, Mode
from deployments.follow.messages import Instructions, Observation
from deployments.follow.schedule import Seen
from deployments.follow.watch import Watch

if TYPE_CHECKING:  # it needs PyTorch
    from cache_models.promise.prior import PriorRecord


class PriorQuestion(NamedTuple):
    """For `prior.calibrate_prior`: how sharp may the prior be, for the traffic of the moment?

    Attributes:
        mix: shares of the classes, `(K,)`.
        arrivals_per_request: of classes that were not there.
        sample_rate: of hits that the prior learns from.
        excess: times more mistakes than expected.
    """

    mix: np.ndarray
    arrivals_per_request: float
    sample_rate: float
    excess: float


class ControlPolicy:
    """
    Args:
        version: in service.

    Attributes:
        version: likewise; changed by `serve`.
        watch: whether its caches may answer.
    """

    def __init__(self, args: AppArgs, version: CacheVersion):
        self._sampling = args.sampling
        self.watch = Watch(version.plan.promise.limits, args.guard, args.sampling)
        self._prior = ClassPrior(np.array(version.plan.class_shares))
        self._arrivals = Arrivals()
        self._sampled = RecentRate(args.sampling.rate)
        self._judged_rate = args.sampling.rate
        self._raised = 0
        self._serve(version)

    # --- what comes in ---------------------------------------------------------------------------

    def hear(self, observations: Sequence[Observation], answered: int, mode: Mode) -> None:
        """Take in what a router observed among the `answered` requests since its last word."""
        self._prior.advance(answered)
        for observation in observations:
            if self._prior.observe(observation.base_class_id, 1 / observation.known):
                self._raised = self._sampling.raised_samples
            if observation.inclusion:
                self._raised -= self._raised > 0
                if observation.version == self.version.number:
                    self.watch.observe(observation)
                    self._excess.observe(observation.class_id != observation.base_class_id)
        if mode != "off":  # where nobody samples
            sampled = sum(o.inclusion > 0 for o in observations)
            self.watch.count(answered, sampled)
            self._sampled.update(answered, sampled)
        self._arrivals.update(answered, self._prior.shares)

    def serve(self, version: CacheVersion) -> None:
        """Another version is in service; its caches may answer if it ever kept the promise."""
        shares = self._prior.shares
        self._prior = ClassPrior(np.array(version.plan.class_shares))
        self._prior.start(shares)
        self._serve(version)
        self.watch.switch_on()

    def _serve(self, version: CacheVersion) -> None:
        self.version = version
        self._excess = Excess(version.plan.promise.disagreement)
        self._judged: PriorRecord | None = None

    def follow_prior(self, record: "PriorRecord | None", sample_rate: float) -> None:
        """Serve what was found for a question; None is what was tested without a prior.

        Args:
            sample_rate: of the question.
        """
        self._judged, self._judged_rate = record, sample_rate
        self._prior.least_share = record.least_share if record else 1.0
        self._excess.expected = (record or self.version.plan.promise).disagreement

    # --- what goes out ---------------------------------------------------------------------------

    def instructions(self, mode: Mode) -> Instructions:
        """
        Args:
            mode: that operators want.
        """
        on = mode == "serve" and self.may_answer
        control = Control(self.version.number, on, *self._log_ratio_and_threshold())
        return Instructions(mode, self.sample_rate, self.trained, control)

    @property
    def trained(self) -> bool:
        """Whether the version in service has caches that ever kept the promise."""
        return self.version.plan.promise.threshold is not None

    @property
    def may_answer(self) -> bool:
        """Whether nothing speaks against the caches in service."""
        return self.trained and self.watch.why_off is None

    @property
    def sample_rate(self) -> float:
        """Wanted share of requests to run on to the base DNN's end."""
        args = self._sampling
        if self.watch.why_off or (self.version.plan.caches and not self.trained):
            return 1.0
        return max(args.rate, args.raised_rate) if self._raised else args.rate

    def _log_ratio_and_threshold(self) -> tuple[np.ndarray | None, float | None]:
        if self._judged is None or self._sampled_less:
            return None, None
        sharp = self._judged.least_share < 1
        log_ratio = self._prior.log_ratio().astype(np.float32) if sharp else None
        return log_ratio, self._judged.threshold

    @property
    def _sampled_less(self) -> bool:
        """Whether so few requests are sampled by now that the prior, which sees hits in samples
        alone, would follow later than it was judged to."""
        return self._sampled.rate < self._judged_rate / 2

    def seen(self) -> Seen:
        """For the schedule."""
        return Seen(
            self._prior.shares,
            self._arrivals.present is not None,
            self.trained,
            self._sampled_less,
            self.watch.why_off,
            self.watch.hit_rate,
        )

    def prior_question(self) -> PriorQuestion:
        prior = self._prior
        return PriorQuestion(
            prior.observed if prior.told_apart() else prior.trained,
            self._arrivals.rate(),
            min(self._sampled.rate, self._sampling.rate),
            self._excess.ratio,
        )

    def status(self, mode: Mode) -> dict[str, Any]:
        """For `/stats`."""
        watch = self.watch
        return {
            "guard": {
                "caches": "off: " + watch.why_off if watch.why_off else mode,
                **watch.status(),
            },
            "cache_version": self.version.number,
            "sample_rate": self.sample_rate,
            "class_mix": self._prior.shares.round(4).tolist(),
            "prior": self._judged.model_dump() if self._judged else None,
            "mistakes_to_expected": round(self._excess.ratio, 3),
        }
