"""Whether the caches in service may answer: alarms, too few samples, and the way back."""

import logging
from collections import Counter, deque

from cache_models.promise.guard import Guard
from cache_models.promise.promise import Limits, error_share, min_samples, most_disagreements
from deployments.config import GuardArgs, Sampling
from deployments.follow.messages import Observation

logger = logging.getLogger(__name__)

RECENT = 2_000
COUNTED = 5_000


class Watch:
    """Tests the version in service on sampled requests.

    Attributes:
        why_off: why caches are off; None while they may answer.
    """

    def __init__(self, limits: Limits, guard: GuardArgs, sampling: Sampling):
        self._limits, self._args, self._sampling = limits, guard, sampling
        self._guard = Guard(limits.max_disagreement, guard.samples_between_alarms)
        self._recent: deque[tuple[str, bool]] = deque(maxlen=RECENT)
        self._probation = Probation(limits, guard.probation_samples)
        self._answered = self._counted = 0
        self.sampled = self.alarms = 0
        self.why_off: str | None = None

    def observe(self, observation: Observation) -> None:
        """Take in a sampled request."""
        wrong = observation.class_id != observation.base_class_id
        self._recent.append((observation.exit, wrong))
        self.sampled += 1
        if self.why_off is None:
            if self._guard.update(wrong):
                self.alarms += 1
                self.switch_off("the guard's alarm")
        elif self._probation.update(wrong):
            logger.warning("caches on again: they kept the promise on new samples")
            self.switch_on()

    def count(self, answered: int, sampled: int) -> None:
        """Without samples nobody can tell whether the caches are right."""
        self._answered += answered
        self._counted += sampled
        if self._answered < COUNTED:
            return
        if self._counted < self._sampling.min_rate / 2 * self._answered:
            self.switch_off(f"only {self._counted} samples of {self._answered} requests")
        self._answered = self._counted = 0

    def switch_off(self, why: str) -> None:
        if self.why_off is None:
            logger.error("caches off: %s", why)
            self.why_off = why
            self._probation = Probation(self._limits, self._args.probation_samples)

    def switch_on(self) -> None:
        """A version that has passed its tests is in service."""
        self.why_off = None
        self._guard.reset()

    @property
    def hit_rate(self) -> float | None:
        """Of the recent sampled requests; None before there are some."""
        if len(self._recent) < RECENT // 10:
            return None
        return sum(exit != "base" for exit, _ in self._recent) / len(self._recent)

    def state(self) -> dict:
        """What must survive a crash."""
        return {"why_off": self.why_off, "alarms": self.alarms, "evidence": self._guard.evidence}

    def restore(self, state: dict) -> None:
        """Go on from what `state` returned."""
        self.alarms = int(state["alarms"])
        self._guard.evidence = state["evidence"]
        if state["why_off"]:
            self.switch_off(state["why_off"])

    def status(self) -> dict:
        """For `/stats`."""
        recent = list(self._recent)
        wrong = sum(wrong for _, wrong in recent)
        return {
            "alarms": self.alarms,
            "alarm_strength": round(self._guard.strength, 6),
            "sampled": self.sampled,
            "recent": {
                "sampled": len(recent),
                "disagreement": wrong / len(recent) if recent else None,
                "exits": dict(Counter(exit for exit, _ in recent)),
            },
        }


class Probation:
    """Tests on blocks of new samples whether the promise is kept; each block has its share of the
    promise's error probability."""

    def __init__(self, limits: Limits, samples: int):
        self._limits, self._samples, self._block = limits, samples, 0
        self._next_block()

    def update(self, wrong: bool) -> bool:
        """Take in one sample; True when a whole block has passed."""
        self._seen += 1
        self._wrong += wrong
        if self._wrong > self._allowed:
            self._next_block()
            return False
        return self._seen >= self._size

    def _next_block(self) -> None:
        self._block += 1
        self._seen = self._wrong = 0
        level = error_share(self._limits, self._block)
        self._size = max(self._samples, min_samples(self._limits.max_disagreement, level))
        self._allowed = most_disagreements(self._size, self._limits.max_disagreement, level)
