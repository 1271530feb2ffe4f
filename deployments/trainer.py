"""The actor that watches the caches in service, on requests that routers sampled for it.

Routers send what they observed and are told in return whether caches may answer, and how much to
sample; one exchange, twice a second, is all that binds them. Where the guard raises its alarm,
caches go off everywhere with the next exchange; they are judged on, unasked, and come back when
they keep the promise on a block of new samples.
"""

import logging
from collections import Counter, deque

from cache_models.guard import Guard
from cache_models.promise import Limits, min_samples, most_disagreements
from deployments.config import AppArgs
from deployments.messages import Control, Observation

logger = logging.getLogger(__name__)

RECENT = 2_000
COUNTED = 5_000


class Trainer:
    """Deployment-scoped: Serve starts it with the router, restarts it, and ends it."""

    def __init__(self, args: str, limits: str):
        """
        Args:
            args, limits: `AppArgs` and `Limits` as JSON; Serve hands models on as dictionaries.
        """
        self._args = args = AppArgs.model_validate_json(args)
        self._limits = limits = Limits.model_validate_json(limits)
        self._guard = Guard(limits.max_disagreement, args.guard.samples_between_alarms)
        self._recent: deque[Observation] = deque(maxlen=RECENT)
        self._observed = 0
        self._alarms = 0
        self._why_off: str | None = None
        self._probation = _Probation(limits, args.guard.probation_samples)
        self._answered, self._sampled = 0, 0

    async def exchange(self, observations: list[Observation], answered: int) -> Control:
        """Take in what a router observed among the `answered` requests since its last exchange."""
        for observation in observations:
            self._observe(observation)
        self._count(answered, len(observations))
        sampling = self._args.sampling
        return Control(
            self._args.mode == "serve" and self._why_off is None,
            1.0 if self._why_off else sampling.rate,
        )

    async def status(self) -> dict:
        """For `/stats`: what the guard has seen."""
        recent = list(self._recent)
        wrong = sum(o.class_id != o.base_class_id for o in recent)
        return {
            "caches": "off: " + self._why_off if self._why_off else self._args.mode,
            "alarms": self._alarms,
            "alarm_strength": round(self._guard.strength, 6),
            "sampled": self._observed,
            "recent": {
                "sampled": len(recent),
                "disagreement": wrong / len(recent) if recent else None,
                "exits": dict(Counter(o.exit for o in recent)),
            },
        }

    def _observe(self, observation: Observation) -> None:
        self._recent.append(observation)
        self._observed += 1
        wrong = observation.class_id != observation.base_class_id
        if self._why_off is None:
            if self._guard.update(wrong):
                self._alarms += 1
                self._switch_off("the guard's alarm")
        elif self._probation.update(wrong):
            logger.warning("caches on again: they kept the promise on new samples")
            self._why_off = None
            self._guard.reset()

    def _count(self, answered: int, sampled: int) -> None:
        """Without samples nobody can tell whether the caches are right."""
        self._answered += answered
        self._sampled += sampled
        if self._answered < COUNTED:
            return
        if self._sampled < self._args.sampling.min_rate / 2 * self._answered:
            self._switch_off(f"only {self._sampled} samples of {self._answered} requests")
        self._answered, self._sampled = 0, 0

    def _switch_off(self, why: str) -> None:
        if self._why_off is None:
            logger.error("caches off: %s", why)
            self._why_off = why
            self._probation = _Probation(self._limits, self._args.guard.probation_samples)


class _Probation:
    """Tests on blocks of new samples whether the promise is kept; the k-th block has its share
    `1 / (k (k + 1))` of the promise's error probability, so that trying again does not add up."""

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
        level = (1 - self._limits.confidence) / (self._block * (self._block + 1))
        self._size = max(self._samples, min_samples(self._limits.max_disagreement, level))
        self._allowed = most_disagreements(self._size, self._limits.max_disagreement, level)
