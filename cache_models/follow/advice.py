"""Would caches at other cut points serve the classes of the moment with less latency?

A build keeps the most useful cache of every candidate, and what each says of the selection and
calibration samples. From these, with selection samples drawn anew in the traffic's class mix, the
composition is done again. What it finds is calibrated on the calibration samples, which have chosen
nothing, and written as a store of its own: moving a cut point means other deployments, so that an
operator has to deploy it.
"""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from cache_models.build.composition import compose
from cache_models.build.expected import expect
from cache_models.build.pricing import Outcome, outcome_of, pricing_of
from cache_models.cache.learned_cache import load_cache
from cache_models.promise.promise import Limits, calibrate
from cache_models.store.files import ALTERNATIVES, SAMPLES
from cache_models.store.plan import CacheRecord
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store

logger = logging.getLogger(__name__)

LEAST_GAIN = 0.1
"""Of expected latency, for which a redeploy is worth it."""


@dataclass(frozen=True)
class Advice:
    """
    Attributes:
        present_ms, proposed_ms: expected latency in the traffic's class mix, before any
            retraining, of the cut points deployed and of those proposed.
    """

    cut_points: list[str]
    present_ms: float
    proposed_ms: float
    caches: list[CacheRecord]


class Adviser:
    """
    Args:
        build: a version with alternatives.

    Raises:
        ArtifactError: they cannot be read.
    """

    def __init__(self, build: CacheVersion):
        self._build = build
        plan, held = build.plan, build.tensors(ALTERNATIVES)
        self._calibrates = held["calibrates"].numpy()
        self._answers = held["answers"].numpy()
        classes = len(plan.description.classes)
        self._caches = {
            record.file: load_cache(
                build.folder / record.file, record.variant, record.feature_shape, classes
            )
            for record in plan.alternatives
        }
        self._said = []
        with torch.inference_mode():
            for i, record in enumerate(plan.alternatives):
                scores = held[f"scores.{i}"]
                confidences = self._caches[record.file].selector(scores) * held[f"familiar.{i}"]
                tops, predictions = scores.exp().max(1)
                self._said.append((predictions.numpy(), confidences.numpy(), tops.numpy()))

    def advise(self, mix: np.ndarray, limits: Limits, seed: int = 0) -> Advice | None:
        """Better cut points for the class mix `(K,)`; None if there are none worth a redeploy."""
        plan = self._build.plan
        rows = self._drawn(mix, np.random.default_rng(seed))
        if rows is None:
            return None
        outcomes = self._outcomes(rows)
        answers, classes, samples = self._answers[rows], len(mix), int(self._calibrates.sum())
        rest = (answers, classes, pricing_of(plan), limits, samples)
        best = compose(outcomes, *rest)
        present = compose([o for o in outcomes if o.cut_point.name in plan.cut_points], *rest)
        names = [outcome.cut_point.name for outcome in best.caches]
        if best.latency_ms > (1 - LEAST_GAIN) * present.latency_ms:
            return None
        caches = [record for record in plan.alternatives if record.cut_point in names]
        return Advice(names, present.latency_ms, best.latency_ms, caches)

    def propose(self, advice: Advice, store: Store, limits: Limits) -> CacheVersion | None:
        """Write the plan advised as the current version of `store`, which then holds no other;
        None if it keeps the promise at no threshold."""
        plan = self._build.plan
        rows = np.flatnonzero(self._calibrates)
        chosen = [i for i, record in enumerate(plan.alternatives) if record in advice.caches]
        said = [tuple(part[rows] for part in self._said[i]) for i in chosen]
        predictions, confidences, tops = zip(*said, strict=True)
        answers, classes = self._answers[rows], len(plan.description.classes)
        promise = calibrate(predictions, confidences, answers, classes, limits)
        if promise.threshold is None:
            return None
        outcomes = [self._outcomes(rows)[i] for i in chosen]
        held = self._build.tensors(ALTERNATIVES)
        update = {
            "caches": advice.caches,
            "promise": promise,
            "expected": expect(
                outcomes,
                predictions,
                confidences,
                tops,
                answers,
                promise,
                pricing_of(plan),
                plan.expected.oracle_compute_ms,
            ),
            "notes": [*plan.notes, "cut points proposed for a class mix of the traffic"],
        }
        old = store.versions()
        version = store.publish(
            plan.model_copy(update=update),
            self._caches,
            tensors={
                ALTERNATIVES: held,
                SAMPLES: self._build.tensors(SAMPLES),
            },
        )
        store.remove(set(old))
        return version

    def _drawn(self, mix: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """As many selection samples as there are, with replacement, in the class mix."""
        select = np.flatnonzero(~self._calibrates)
        counts = np.bincount(self._answers[select], minlength=len(mix))
        shares = np.divide(mix, counts, out=np.zeros(len(mix)), where=counts > 0)
        weights = shares[self._answers[select]]
        if not weights.sum():
            return None
        return rng.choice(select, len(select), p=weights / weights.sum())

    def _outcomes(self, rows: np.ndarray) -> list[Outcome]:
        plan = self._build.plan
        return [
            outcome_of(plan, record, predictions[rows], confidences[rows])
            for record, (predictions, confidences, _) in zip(
                plan.alternatives, self._said, strict=True
            )
        ]


def advised(build: CacheVersion, mix: np.ndarray, limits: Limits, store: Store) -> dict | None:
    """What other cut points would gain for a class mix `(K,)`, as JSON values, and where their plan
    is; None if there are none worth a redeploy.

    Args:
        build: a version with alternatives.
        store: that the plan is written to, as by `Adviser.propose`.

    Raises:
        ArtifactError: as of `Adviser`.
    """
    adviser = Adviser(build)
    found = adviser.advise(mix, limits)
    if found is None or adviser.propose(found, store, limits) is None:
        return None
    logger.info("cut points %s would serve the traffic better: %s", found.cut_points, store)
    return {
        "cut_points": found.cut_points,
        "present_ms": found.present_ms,
        "proposed_ms": found.proposed_ms,
        "store": str(store.where),
    }
