"""Which threshold the version in service may be served with, or none: what its controller says, too
few samples, and what of it must survive a crash."""

import logging
from collections import Counter, deque
from typing import Any

import numpy as np

from cache_models.network.stages import BASE
from cache_models.promise.controller import Controller
from cache_models.promise.path import index_of, path_through, wrong_at
from cache_models.promise.promise import bounds
from cache_models.promise.sampling import Need, need_of
from cache_models.store.version import CacheVersion
from deployments.config import GuardArgs, Sampling
from deployments.follow.messages import Observation

logger = logging.getLogger(__name__)

RECENT = 2_000
COUNTED = 5_000


class Watch:
    """
    Args:
        version: in service.

    Attributes:
        why_off: why caches are off; None while they may answer.
        alarms: so far, of all versions.
        block_s: length of a stretch of a stream in which samples may depend on each other; 0 where
            they do not.
    """

    def __init__(self, version: CacheVersion, guard: GuardArgs, sampling: Sampling):
        self._args, self._sampling = guard, sampling
        self._recent: deque[tuple[str, bool]] = deque(maxlen=RECENT)
        self._answered = self._counted = 0
        self.sampled = self.alarms = 0
        self.block_s = 0.0
        self.begin(version)

    def begin(self, version: CacheVersion) -> None:
        """Another version, which has passed its tests, is in service."""
        plan = version.plan
        self._version, self._exits = version.number, [*plan.cut_points, BASE]
        self._limits = plan.promise.limits
        self._path = path_through(plan.promise.threshold)
        self._controller = Controller(
            plan.promise.limits,
            len(plan.description.classes),
            plan.promise.threshold,
            self._args.samples_between_alarms,
            self._path,
        )
        self._proven = plan.promise.threshold
        self.why_off: str | None = None

    @property
    def threshold(self) -> float | None:
        """In service; None for none."""
        return self._controller.threshold

    @property
    def need(self) -> Need:
        """What samples are wanted for."""
        return need_of(self._controller)

    def observe(self, observation: Observation) -> None:
        """Take in a sampled request that this version's caches have all been asked about."""
        said = [each for each in observation.said if each is not None]
        if len(said) < len(self._exits) - 1:
            return  # one did not answer; that says nothing of whether it is right
        labels, confidences = [s.class_id for s in said], [s.confidence for s in said]
        answer = observation.base_class_id
        wrong = wrong_at(labels, confidences, answer, self._path)
        at = self.threshold or self._proven or self._path[0]
        hits = np.append(np.asarray(confidences) >= at, True)
        self._recent.append(
            (self._exits[int(hits.argmax())], bool(wrong[index_of(at, self._path)]))
        )
        self.sampled += 1
        before = self.threshold
        block = int(observation.at // self.block_s) if self.block_s else None
        stream = observation.stream
        alarm = self._controller.observe(wrong, answer, observation.weight, stream, block)
        if alarm is not None:
            self.alarms += 1
        self._say(before, alarm)

    def _say(self, before: float | None, alarm: str | None) -> None:
        now = self.threshold
        if now == before and alarm is None:
            return
        why = alarm or ("too many wrong answers" if before is not None else "they are proven anew")
        if now is None:
            logger.error("caches off: %s", why)
            self.why_off = why
        else:
            logger.warning("the threshold goes from %s to %.4f: %s", before, now, why)
            self.why_off = None

    def count(self, answered: int, sampled: int) -> None:
        """Without samples nobody can tell whether the caches are right."""
        self._answered += answered
        self._counted += sampled
        if self._answered < COUNTED:
            return
        if self._counted < self._sampling.min_rate / 2 * self._answered:
            self._controller.distrust()
            self._say(1.0, f"only {self._counted} samples of {self._answered} requests")
        self._answered = self._counted = 0

    def state(self) -> dict[str, Any]:
        """What must survive a crash."""
        return {
            "version": self._version,
            "why_off": self.why_off,
            "alarms": self.alarms,
            "controller": self._controller.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned; of another version, or an older form, only alarms are
        taken over, and whether caches are off."""
        self.alarms = int(state["alarms"])
        if state.get("version") == self._version:
            self._controller.restore(state["controller"])
        elif state["why_off"]:
            self._controller.distrust()
        self.why_off = state["why_off"] if self.threshold is None else None

    def status(self) -> dict[str, Any]:
        """For `/stats`."""
        recent, controller = list(self._recent), self._controller
        wrong = sum(wrong for _, wrong in recent)
        lower, upper = bounds(wrong, len(recent), self._limits.confidence) if recent else (0.0, 1.0)
        return {
            "alarms": self.alarms,
            "alarm_strength": round(controller.strength, 6),
            "threshold": self.threshold,
            "tested_threshold": self._proven,
            "max_disagreement": self._limits.max_disagreement,
            "wrong_beyond_allowed": round(controller.debt, 1),
            "sampled": self.sampled,
            "recent": {
                "sampled": len(recent),
                "disagreement": wrong / len(recent) if recent else None,
                "disagreement_lower": lower,
                "disagreement_upper": upper,
                "exits": dict(Counter(exit for exit, _ in recent)),
            },
        }
