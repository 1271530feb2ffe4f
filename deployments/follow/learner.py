"""The trainer's learning: what it does in its thread, with PyTorch.

Nothing here is called from the event loop; the store is written first, and whoever reads it later
finds the old version or the new one.
"""

import logging
import time
from collections.abc import Callable, Iterator

import numpy as np

from cache_models.errors import ArtifactError, EngineError
from cache_models.follow import advice
from cache_models.follow.build_samples import BuildSamples, has_samples
from cache_models.follow.recording import ENOUGH, record_missing, slice_engines
from cache_models.follow.retraining import (
    MIN_TRAIN,
    Candidate,
    candidate_plan,
    keeps_promise,
    retrain,
)
from cache_models.follow.traffic import Sample, Traffic
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.engine.interface import Engine
from cache_models.network.features import input_features
from cache_models.network.memory import return_freed_memory
from cache_models.network.stages import INPUT
from cache_models.promise.promise import error_share, min_samples
from cache_models.store.plan import Plan
from cache_models.store.versions import CacheVersion, Store, fits
from deployments.config import Keep
from deployments.follow.messages import Observation
from deployments.follow.state import UNPROVEN

PROPOSED = "proposed"
"""Folder in the store, itself a store, of a plan with other cut points."""

logger = logging.getLogger(__name__)


class Learner:
    """
    Args:
        plan: that the graph was deployed for.
        rest: called after every small piece of a round's work.
        threads: with which the base DNN records.
        keep: of a sample whose input a lookup is asked about: that input, or its features.

    Attributes:
        version: in service.
        may_begin: whether enough of the build's samples can be read for a round that forgets no
            class.
    """

    def __init__(
        self,
        plan: Plan,
        store: str,
        log: TrafficLog,
        rest: Callable[[], None],
        threads: int = 1,
        keep: Keep = "inputs",
    ):
        self._deployed, self._rest, self._threads = plan, rest, threads
        self._limits, self._keep = plan.promise.limits, keep
        self._made: list[Engine | None] | None = None
        self._copies = True
        self._store = Store(store)
        self._log = log
        build = self._build()
        log.join(build)
        self.may_begin = not log.untestable(ENOUGH)
        self._missing = self._record_missing(build)
        self.version = self._store.serving(plan)

    def sample(self, observation: Observation) -> Sample:
        """What is kept of an observation that carries what its caches were asked."""
        of, features, given = observation, list(observation.asked), None
        if INPUT in self._deployed.cut_points:  # the first
            given = features.pop(0)
            if self._keep == "features":
                description = self._deployed.description
                features[:0], given = input_features(description, given[None], of.resized), None
        return Sample(
            features,
            of.probabilities,
            of.weight,
            of.stream,
            of.at,
            of.agreement,
            input=given,
            resized=of.resized,
        )

    def _build(self) -> BuildSamples | None:
        for version in filter(has_samples, self.versions()):
            try:
                return BuildSamples(version, self._rest)
            except ArtifactError as error:
                logger.error("rounds will have no samples of the build: %s", error)
                break
        return None

    def record_build(self, seconds: float) -> bool:
        """True when the build's samples can all be read. Where features are missing, which few
        builds lack, they are recorded for so long, or a batch, once there is traffic."""
        if len(self._log.unrecorded(1)) and not self._log.count(build=False):
            return False
        stop = time.monotonic() + seconds
        try:
            for enough in self._missing:
                self.may_begin = enough
                if time.monotonic() >= stop:
                    return False
        except (ArtifactError, EngineError) as error:
            logger.error("rounds will have no more samples of the build: %s", error)
        self.may_begin = True
        return True

    def _record_missing(self, build: BuildSamples | None) -> Iterator[bool]:
        if len(self._log.unrecorded(1)):
            assert build is not None, "unrecorded samples are a build's"
            description, engines = self._deployed.description, self._engines()[:-1]
            yield from record_missing(build, description, engines, self._log)

    def make_copies(self, seconds: float) -> float:
        """Ask the base DNN about altered copies of recent samples for so long, or a few; the
        seconds of processor time that it took."""
        began, stop = time.thread_time(), time.monotonic() + seconds
        try:
            while self._copies and self._log.uncopied(1) is not None:
                from cache_models.follow.copying import copy_some  # it needs torchvision

                copy_some(self._log, self._deployed.description, self._engines())
                if time.monotonic() >= stop:
                    break
        except (ArtifactError, EngineError) as error:
            logger.error("rounds will have no more copies: %s", error)
            self._copies = False
        return time.thread_time() - began

    def _engines(self) -> list[Engine | None]:
        if self._made is None:
            self._made = slice_engines(self._store.where, self._deployed, self._threads)
        return self._made

    def can_test(self) -> bool:
        """Whether a candidate could be learned, and without a mistake could pass; before that a
        round is in vain."""
        return self._log.learnable() >= MIN_TRAIN and self._log.testable() >= self._needed()

    def evidence(self) -> dict:
        """What the next test has, and needs at least; more with every test of the same window."""
        return {
            "block_s": self._log.block_s,
            "tests": self._log.tests,
            "test_samples": self._log.testable(),
            "test_samples_needed": self._needed(),
        }

    def _needed(self) -> int:
        return min_samples(self._limits.max_disagreement, self._level())

    def _level(self) -> float:
        """The share of the error probability that the next test may use."""
        return error_share(self._limits, self._log.tests + 1)

    def round(
        self, why: str, pinned: bool, served: float | None, outdated: Callable[[], bool]
    ) -> dict:
        """One round of retraining: a candidate, tested, and published if it is better.

        Args:
            pinned: whether nothing is to be published.
            served: as for `retrain`.
            outdated: whether there was an alarm after the round began, which makes of its test
                samples another traffic's.

        Returns:
            Its record.
        """
        try:
            return self._round(why, pinned, served, outdated)
        finally:
            return_freed_memory()  # several times what stays

    def _round(
        self, why: str, pinned: bool, served: float | None, outdated: Callable[[], bool]
    ) -> dict:
        began = time.time()
        self._log.measure_blocks()
        with self._log.snapshot():
            window, kept = self._log.window_and_reservoir(self._rest)
            copies = self._log.copies(self._rest)
        before, level = self.version, self._level()
        caches = [before.load(i) for i in range(len(before.plan.caches))]
        candidate = retrain(
            before.plan,
            caches,
            served,
            window,
            kept,
            self._limits,
            level,
            self._log.spend_test,
            self._rest,
            copies=copies,
        )
        published, why_not = None, candidate.why_not
        if candidate.worth_it and pinned:
            why_not = f"version {before.number} is pinned"
        elif candidate.worth_it and outdated():
            why_not = "an alarm came during the round: it was tested on another traffic"
        elif candidate.worth_it:
            published = self._publish(candidate)
        return {
            "began": began,
            "at": time.time(),
            "why": why,
            "version": before.number,
            "published": published,
            "why_not": why_not,
            "level": level,
            "block_s": self._log.block_s,
            "window_samples": len(window.roles),
            "copies": len(copies.roles),
            "reservoir_samples": len(kept.roles),
            "window_classes": np.bincount(
                window.answers, minlength=window.probabilities.shape[1]
            ).tolist(),
            **candidate.record(),
            "advice": self._advise(window),
        }

    def _advise(self, window: Traffic) -> dict | None:
        build = next((v for v in self.versions() if v.plan.alternatives), None)
        if build is None or build.plan.remembers or not len(window.roles):
            return None  # what a memory would do elsewhere is not known
        classes = window.probabilities.shape[1]
        mix = np.bincount(window.answers, window.weights, minlength=classes)
        try:
            return advice.advised(build, mix, self._limits, self._store.beside(PROPOSED))
        except ArtifactError as error:
            logger.error("no advice on cut points: %s", error)
            return None

    def _publish(self, candidate: Candidate) -> int:
        plan = candidate_plan(self.version.plan, candidate)
        files = [record.file for record in plan.caches]
        version = self._store.publish(plan, dict(zip(files, candidate.caches, strict=True)))
        self.version = version
        return version.number

    def retain(self, count: int) -> None:
        """Remove old versions but for the newest `count` and those with a build's samples."""
        kept = self.versions()
        old = {v.number for v in kept[:-count] if not has_samples(v)}
        self._store.remove(old - {self.version.number})

    def roll_back(self, number: int) -> bool:
        """Serve version `number`; True if it kept the promise on recent samples.

        Raises:
            ArtifactError: there is no such version, or it cannot be served here.
        """
        version = self._store.open(number)
        if not fits(version.plan, self._deployed):
            raise ArtifactError(
                f"cache version {number} has caches at {version.plan.cut_points}; served are "
                f"{self._deployed.cut_points}. Restart the application to serve it."
            )
        caches = [version.load(i) for i in range(len(version.plan.caches))]
        proven = keeps_promise(
            version.plan,
            caches,
            self._log.window(),
            self._limits,
            self._level(),
            self._log.spend_test,
        )
        unproven = set(self.unproven) - {number} if proven else {number, *self.unproven}
        # first: a crash must not leave it in service unmarked
        self._log.set_state(UNPROVEN, sorted(unproven))
        self._log.tell()
        self.version = self._store.make_current(number)
        return proven

    @property
    def unproven(self) -> list[int]:
        """Versions that an operator went back to though they did not pass on recent samples."""
        return self._log.state(UNPROVEN, [])

    def versions(self) -> list[CacheVersion]:
        """Those that can be served here, oldest first."""
        return self._store.fitting(self._deployed)
