"""One round of retraining: caches that have followed the traffic, tested before anyone is served.

1. Predictors go on from the caches in service, on recent samples and on the reservoir's in equal
   parts, so that they follow the traffic and forget no class; selectors and gates are fitted anew.
2. A candidate that promises no lower latency on `SELECT` samples ends here, and costs no test.
3. Frozen, it is tested on `TEST` samples that were chosen independently: over all answers on the
   window, and for every known class on window and reservoir together, strict thresholds first.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from cache_models.composition import (
    Outcome,
    Pricing,
    compute_ms_by_exit,
    latency_ms_by_exit,
)
from cache_models.cost import module_bytes
from cache_models.cutting import INPUT
from cache_models.exploration import ask
from cache_models.learned_cache import LearnedCache
from cache_models.novelty import fit_gate
from cache_models.plan import Expected, Plan
from cache_models.promise import (
    PATH,
    ClassRecord,
    Limits,
    Promise,
    allowed_disagreements,
    cascade,
    min_samples,
    most_disagreements,
)
from cache_models.traffic import SELECT, TEST, TRAIN, Traffic
from cache_models.training import fit_predictor, train_selector

LEAST_GAIN = 0.03
"""Of expected latency, for which a new version is worth a test."""
WARM = {"epochs": 6, "patience": 2, "warm": True}
MIN_TRAIN = 100


@dataclass(frozen=True)
class Standing:
    """What caches would have done with the window's samples, each weighted by its share."""

    latency_ms: float
    compute_ms: float
    hit_rate: float
    disagreement: float


@dataclass(frozen=True)
class Candidate:
    """
    Attributes:
        promise: that was tested; None if there was no test.
        class_shares: `(K,)` of the samples that the predictors learned on.
        before, after: of the caches in service and of these; None if it did not come to that.
        agreement: of each predictor alone, on the window's test samples.
        why_not: why it is not published; None if it is worth it.
    """

    caches: list[LearnedCache]
    promise: Promise | None
    class_shares: np.ndarray | None
    before: Standing | None
    after: Standing | None
    agreement: list[float]
    why_not: str | None
    seconds: float

    @property
    def worth_it(self) -> bool:
        return self.why_not is None

    def record(self) -> dict:
        """For people, as JSON values."""
        tested = self.promise is not None
        return {
            "tested": tested,
            "threshold": self.promise.threshold if tested else None,
            "disagreements": self.promise.disagreements if tested else None,
            "test_samples": self.promise.samples if tested else None,
            "before": asdict(self.before) if self.before else None,
            "after": asdict(self.after) if self.after else None,
            "seconds": round(self.seconds, 1),
        }


def retrain(
    plan: Plan,
    caches: Sequence[LearnedCache],
    window: Traffic,
    reservoir: Traffic,
    limits: Limits,
    level: float,
    seed: int = 0,
) -> Candidate:
    """A candidate for the traffic of `window`.

    Args:
        plan, caches: in service; a plan without a threshold has untrained caches.
        level: probability with which a candidate that breaks the promise may pass.
    """
    start = time.monotonic()

    def refused(why: str, **found) -> Candidate:
        nothing = dict.fromkeys(("promise", "class_shares", "before", "after"))
        rest = {"caches": [], "agreement": [], **nothing, **found}
        return Candidate(**rest, why_not=why, seconds=time.monotonic() - start)

    both = _joined(window, reservoir)
    recent = np.arange(len(both.roles)) < len(window.roles)
    testable = (both.roles == TEST) & both.independent
    tests, needed = int((testable & recent).sum()), min_samples(limits.max_disagreement, level)
    if tests < needed:
        return refused(
            f"the window has {tests} samples to test on; at least {needed} are needed to pass at "
            f"level {level:.3g}"
        )
    train = _balanced(np.flatnonzero(both.roles == TRAIN), recent)
    select = _balanced(np.flatnonzero(both.roles == SELECT), recent)
    if len(train) < MIN_TRAIN or len(select) < MIN_TRAIN:
        return refused(f"{len(train)} samples to train and {len(select)} to select on are too few")

    warm = plan.promise.threshold is not None
    torch.manual_seed(seed)
    learned = [
        _learn(cache, features, both, train, select, warm)
        for cache, features in zip(caches, both.features, strict=True)
    ]
    shares = np.bincount(both.answers[train], minlength=both.probabilities.shape[1]) / len(train)

    # Everything is fixed but the threshold. First, whether it is worth a test.
    recent_select = np.flatnonzero((both.roles == SELECT) & both.independent & recent)
    all_select = np.flatnonzero((both.roles == SELECT) & both.independent)
    hoped = _loosest(learned, both, recent_select, all_select, limits, level, tests)
    before = _standing(plan, caches, both, recent_select, plan.promise.threshold)
    after = _standing(plan, learned, both, recent_select, hoped.threshold)
    if after.latency_ms > (1 - LEAST_GAIN) * before.latency_ms:
        return refused(
            f"expected latency would go from {before.latency_ms:.1f} to {after.latency_ms:.1f} ms",
            before=before,
            after=after,
        )
    rows, all_rows = np.flatnonzero(testable & recent), np.flatnonzero(testable)
    promise = _loosest(learned, both, rows, all_rows, limits, level)
    before = _standing(plan, caches, both, rows, plan.promise.threshold)
    after = _standing(plan, learned, both, rows, promise.threshold)
    why_not = None
    if promise.threshold is None:
        why_not = "no threshold keeps the promise on the window and on every known class"
    elif after.latency_ms >= before.latency_ms:
        why_not = (
            f"at the threshold that keeps the promise, latency would go from "
            f"{before.latency_ms:.1f} to {after.latency_ms:.1f} ms"
        )
    agreement = [
        float((ask(cache, features, rows)[0] == both.answers[rows]).mean())
        for cache, features in zip(learned, both.features, strict=True)
    ]
    seconds = time.monotonic() - start
    return Candidate(learned, promise, shares, before, after, agreement, why_not, seconds)


def keeps_promise(
    plan: Plan, caches: Sequence[LearnedCache], window: Traffic, limits: Limits, level: float
) -> bool:
    """Whether a version passes the test over all answers on the window, as it is."""
    rows = np.flatnonzero((window.roles == TEST) & window.independent)
    if plan.promise.threshold is None or not len(rows):
        return False
    wrong = _exits(caches, window, rows, plan.promise.threshold)[1]
    return wrong.sum() <= most_disagreements(len(rows), limits.max_disagreement, level)


def candidate_plan(plan: Plan, candidate: Candidate) -> Plan:
    """The plan that serves `candidate` where `plan` was served."""
    after = candidate.after
    return plan.model_copy(
        update={
            "promise": candidate.promise,
            "class_shares": tuple(candidate.class_shares.tolist()),
            "data": "traffic",
            "notes": [],
            "expected": Expected(
                latency_ms=after.latency_ms,
                base_latency_ms=plan.expected.base_latency_ms,
                compute_ms=after.compute_ms,
                base_compute_ms=plan.expected.base_compute_ms,
                oracle_compute_ms=plan.expected.oracle_compute_ms,
                hit_rate=after.hit_rate,
                disagreement=after.disagreement,
                hit_calibration_error=plan.expected.hit_calibration_error,
                exits=plan.expected.exits,
            ),
            "caches": [
                record.model_copy(
                    update={"memory_bytes": module_bytes(cache), "agreement": agreement}
                )
                for record, cache, agreement in zip(
                    plan.caches, candidate.caches, candidate.agreement, strict=True
                )
            ],
        }
    )


def latency_and_compute_ms(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """What a request that exits at each cache, or at the base DNN's end, pays: with hops, and for
    slices and lookups alone."""
    by_name = {point.name: point for point in plan.candidates}
    points = [by_name[name] for name in plan.cut_points]
    classes = len(plan.description.classes)
    inputs = by_name[INPUT].activation_bytes if INPUT in by_name else 0
    pricing = Pricing(plan.expected.base_compute_ms, inputs, 4 * classes, plan.hop)
    nothing = np.empty(0)
    outcomes = [
        Outcome(
            point,
            cache.variant,
            nothing,
            nothing,
            cache.lookup_ms,
            2 * int(np.prod(cache.feature_shape)),
            cache.memory_bytes,
        )
        for point, cache in zip(points, plan.caches, strict=True)
    ]
    compute_ms = compute_ms_by_exit(
        [point.compute_share for point in points],
        [cache.lookup_ms for cache in plan.caches],
        pricing.base_ms,
    )
    return latency_ms_by_exit(outcomes, pricing), compute_ms


def _joined(window: Traffic, reservoir: Traffic) -> Traffic:
    pairs = zip(window.features, reservoir.features, strict=True)
    return Traffic(
        [np.concatenate(pair) for pair in pairs],
        np.concatenate([window.probabilities, reservoir.probabilities]),
        np.concatenate([window.roles, reservoir.roles]),
        np.concatenate([window.independent, reservoir.independent]),
        np.concatenate([window.weights, reservoir.weights]),
    )


def _balanced(rows: np.ndarray, recent: np.ndarray) -> np.ndarray:
    """Recent samples and the reservoir's in about equal numbers: the fewer are repeated."""
    parts = [rows[recent[rows]], rows[~recent[rows]]]
    if not all(len(part) for part in parts):
        return rows
    most = max(len(part) for part in parts)
    return np.sort(np.concatenate([np.tile(part, max(1, most // len(part))) for part in parts]))


def _learn(
    cache: LearnedCache,
    features: np.ndarray,
    both: Traffic,
    train: np.ndarray,
    select: np.ndarray,
    warm: bool,
) -> LearnedCache:
    gate = fit_gate(features, both.probabilities, np.unique(train), np.unique(select))
    learned = LearnedCache(cache.variant, features.shape[1:], both.probabilities.shape[1], gate)
    learned.predictor.load_state_dict(cache.predictor.state_dict())
    targets = torch.from_numpy(both.probabilities)
    scores = fit_predictor(
        learned.predictor,
        features,
        targets,
        train,
        select,
        **(WARM if warm else {}),
    )
    train_selector(learned.selector, scores, targets[select].argmax(1), 1.0)
    return learned.eval()


def _exits(
    caches: Sequence[LearnedCache], samples: Traffic, rows: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `rows` exits, and whether its answer is wrong."""
    said = [ask(cache, at, rows) for cache, at in zip(caches, samples.features, strict=True)]
    exits, labels = cascade([s[0] for s in said], [s[1] for s in said], threshold)
    return exits, (labels >= 0) & (labels != samples.answers[rows])


def _standing(
    plan: Plan,
    caches: Sequence[LearnedCache],
    samples: Traffic,
    rows: np.ndarray,
    threshold: float | None,
) -> Standing:
    """Without a threshold, the base DNN alone."""
    if threshold is None or not len(rows):
        expected = plan.expected
        return Standing(expected.base_latency_ms, expected.base_compute_ms, 0.0, 0.0)
    latency_ms, compute_ms = latency_and_compute_ms(plan)
    exits, wrong = _exits(caches, samples, rows, threshold)

    def mean(values: np.ndarray) -> float:
        return float(np.average(values, weights=samples.weights[rows]))

    return Standing(
        mean(latency_ms[exits]), mean(compute_ms[exits]), mean(exits < len(caches)), mean(wrong)
    )


def _loosest(
    caches: Sequence[LearnedCache],
    samples: Traffic,
    rows: np.ndarray,
    class_rows: np.ndarray,
    limits: Limits,
    level: float,
    tests: int | None = None,
) -> Promise:
    """The loosest threshold that passes over all answers to `rows` and for every class among
    `class_rows`, which contain them; as `promise.calibrate`, strict ones first.

    Args:
        tests: the share of wrong answers may be as large as on so many samples; default: `rows`.
    """
    tests = tests or len(rows)
    at_level = limits.model_copy(update={"confidence": 1 - level})
    answers, classes = samples.answers[class_rows], samples.probabilities.shape[1]
    _, allowed_by_class = allowed_disagreements(answers, classes, at_level)
    allowed = most_disagreements(tests, limits.max_disagreement, level) * len(rows) / tests
    overall = np.isin(class_rows, rows)
    said = [ask(cache, at, class_rows) for cache, at in zip(caches, samples.features, strict=True)]
    passed, wrong = None, np.zeros(len(class_rows), bool)
    for threshold in PATH:
        _, labels = cascade([s[0] for s in said], [s[1] for s in said], threshold)
        candidate = (labels >= 0) & (labels != answers)
        by_class = np.bincount(answers[candidate], minlength=classes)
        if candidate[overall].sum() > allowed or (by_class > allowed_by_class).any():
            break
        passed, wrong = float(threshold), candidate
    counts, errors = (
        np.bincount(answers[which], minlength=classes) for which in (slice(None), wrong)
    )
    return Promise(
        limits=limits,
        threshold=passed,
        samples=len(rows),
        disagreements=int(wrong[overall].sum()),
        classes=[
            ClassRecord(samples=int(n), disagreements=int(k), tested=bool(np.isfinite(most)))
            for n, k, most in zip(counts, errors, allowed_by_class, strict=True)
        ],
    )
