"""One round of retraining: caches that have followed the traffic, tested before anyone is served.

1. A candidate is made, first the quick way, by telling the caches in service which classes are
   frequent now (`class_mix`), and, where that promises too little, by learning (`learning`).
2. One that promises no lower latency on `SELECT` samples ends here, and costs no test. Where
   samples speak against the threshold in service, its caches are held to the same test.
3. Frozen, it is tested on units of `TEST` samples that were chosen independently: over all answers
   on the window, and for every known class on window and reservoir together, strict thresholds
   first.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch

from cache_models.cache.learned_cache import LearnedCache
from cache_models.follow.class_mix import mixes, specialised
from cache_models.follow.learning import go_on
from cache_models.follow.standing import Asked, Standing, at_threshold, errs_too_often, standing
from cache_models.follow.traffic import Traffic, joined
from cache_models.network.cost import module_bytes
from cache_models.promise.promise import (
    Limits,
    Promise,
    calibrate,
    exits_and_mistakes,
    min_samples,
    most_disagreements,
)
from cache_models.promise.units import units
from cache_models.store.plan import Plan
from cache_models.store.strata import SELECT, TEST, TRAIN

LEAST_GAIN = 0.03
"""Of expected latency, for which a new version is worth a test."""
MIN_TRAIN = 100
How = Literal["class mix", "learning"]
Made = tuple[list[LearnedCache], np.ndarray]
"""Caches, and the class shares that their predictors take for granted."""


@dataclass(frozen=True)
class Candidate:
    """
    Attributes:
        promise: that was tested; None if there was no test.
        how: it was made; None if it did not come to that.
        class_shares: `(K,)`, likewise, that its predictors take for granted.
        before, after: of the caches in service and of these; None if it did not come to that.
        why_not: why it is not published; None if it is worth it.
    """

    caches: list[LearnedCache]
    how: How | None
    promise: Promise | None
    class_shares: np.ndarray | None
    before: Standing | None
    after: Standing | None
    why_not: str | None
    seconds: float

    @property
    def worth_it(self) -> bool:
        return self.why_not is None

    def record(self) -> dict:
        """For people, as JSON values."""
        tested = self.promise is not None
        return {
            "how": self.how,
            "tested": tested,
            "threshold": self.promise.threshold if tested else None,
            "disagreements": self.promise.disagreements if tested else None,
            "test_samples": self.promise.samples if tested else None,
            "classes_with_too_few_to_test": [
                i for i, c in enumerate(self.promise.classes) if c.samples and not c.tested
            ]
            if tested
            else None,
            "before": asdict(self.before) if self.before else None,
            "after": asdict(self.after) if self.after else None,
            "seconds": round(self.seconds, 1),
        }


class _Tried(NamedTuple):
    """A candidate, and how it and what is in service stand on `SELECT` samples."""

    how: How
    caches: list[LearnedCache]
    shares: np.ndarray
    before: Standing
    after: Standing


def retrain(
    plan: Plan,
    caches: Sequence[LearnedCache],
    served: float | None,
    window: Traffic,
    reservoir: Traffic,
    limits: Limits,
    level: float,
    spend: Callable[[], None] = lambda: None,
    rest: Callable[[], None] = lambda: None,
    seed: int = 0,
    copies: Traffic | None = None,
) -> Candidate:
    """A candidate for the traffic of `window`.

    Args:
        plan, caches: in service; a plan without a threshold has untrained caches.
        served: the threshold at which those caches answer now; None where they are off, so that a
            candidate need only be better than the base DNN alone.
        copies: of the window's samples, for predictors alone.
        level: probability with which a candidate that breaks the promise may pass.
        spend: called once the candidate is frozen and before a test sample is read, after which
            `level` is used up, whatever happens.
        rest: called after every small piece of work.
    """
    start = time.monotonic()

    def refused(why: str, **found) -> Candidate:
        nothing = dict.fromkeys(("how", "promise", "class_shares", "before", "after"))
        known = {"caches": [], **nothing, **found}
        return Candidate(**known, why_not=why, seconds=time.monotonic() - start)

    both = joined(*(part for part in (reservoir, window, copies) if part is not None))
    place, end = np.arange(len(both.roles)), len(reservoir.roles) + len(window.roles)
    recent, copied = place >= len(reservoir.roles), place >= end
    shown = both.independent & (recent | plan.answers_strangers)
    testable = (both.roles == TEST) & shown
    tests, needed = len(testing(window)), min_samples(limits.max_disagreement, level)
    if tests < needed:
        return refused(
            f"the window has {tests} independent samples to test on; at least {needed} are needed "
            f"to pass at level {level:.3g}"
        )
    train = np.flatnonzero((both.roles == TRAIN) & ~copied)
    taught = _balanced(np.append(train, np.flatnonzero(copied)), recent)
    select = _balanced(np.flatnonzero(both.roles == SELECT), recent)
    selectable = (both.roles == SELECT) & shown
    if min(len(train), len(select)) < MIN_TRAIN or not (selectable & recent).any():
        return refused(f"{len(train)} samples to train and {len(select)} to select on are too few")

    trained, asked = plan.promise.threshold is not None, Asked(plan, both, rest)
    classes = both.probabilities.shape[1]
    at_level = limits.model_copy(update={"confidence": 1 - level})

    untested = np.flatnonzero(recent & both.independent & np.isin(both.roles, (TRAIN, SELECT)))
    outlived = served is not None and errs_too_often(
        asked, caches, both, untested, served, limits.max_disagreement
    )

    def by_class_mix() -> Iterator[Made]:
        then = np.array(plan.class_shares)
        for now in mixes(both, np.flatnonzero(~recent), untested):
            yield specialised(caches, both, select, then, now), now
            rest()

    def by_learning() -> Iterator[Made]:
        torch.manual_seed(seed)
        shares = np.bincount(both.answers[taught], minlength=classes) / len(taught)
        kept = [record.memory.kept if record.memory else 0 for record in plan.caches]
        yield go_on(caches, both, train, taught, select, trained, kept, rest), shares

    def trial(
        made: Sequence[LearnedCache], rows: np.ndarray, samples: int | None = None
    ) -> tuple[Promise, Standing, Standing]:
        """The loosest threshold on `rows`, and how both stand on the recent ones among them."""
        overall = recent[rows]
        said = asked.of(made, rows)
        answers, mine = both.answers[rows], rows[overall]
        how = {
            "overall": overall,
            "samples": samples,
            "blocks": both.blocks[rows],
            "weights": both.weights[rows],
        }
        promise = calibrate(*said, answers, classes, at_level, **how)
        promise = promise.model_copy(update={"limits": limits})
        threshold = served
        if outlived:
            held = asked.of(caches, rows)
            threshold = calibrate(*held, answers, classes, at_level, **how).threshold
        before = standing(plan, asked.of(caches, mine), both, mine, threshold)
        said = tuple([part[..., overall] for part in parts] for parts in said)
        return promise, before, standing(plan, said, both, mine, promise.threshold)

    # Everything is fixed but the threshold. First, whether it is worth a test.
    ways: dict[How, Callable[[], Iterator[Made]]] = {"learning": by_learning}
    if trained and not plan.remembers:  # of what a memory says the predictor's classes are a part
        ways = {"class mix": by_class_mix, **ways}
    tried: list[_Tried] = []
    for how, make in ways.items():
        for made, shares in make():
            _, before, after = trial(made, np.flatnonzero(selectable), tests)
            tried.append(_Tried(how, made, shares, before, after))
        best = min(tried, key=lambda one: one.after.latency_ms, default=None)
        if best and best.after.latency_ms <= (1 - LEAST_GAIN) * best.before.latency_ms:
            break
    else:
        assert best is not None, "learning makes one"
        before_ms, after_ms = best.before.latency_ms, best.after.latency_ms
        return refused(
            f"expected latency would go from {before_ms:.1f} to {after_ms:.1f} ms",
            how=best.how,
            before=best.before,
            after=best.after,
        )
    spend()
    promise, before, after = trial(best.caches, np.flatnonzero(testable))
    why_not = None
    if promise.threshold is None:
        why_not = "no threshold keeps the promise on the window and on every known class"
    elif after.latency_ms >= before.latency_ms:
        why_not = (
            f"at the threshold that keeps the promise, latency would go from "
            f"{before.latency_ms:.1f} to {after.latency_ms:.1f} ms"
        )
    seconds = time.monotonic() - start
    return Candidate(best.caches, best.how, promise, best.shares, before, after, why_not, seconds)


def keeps_promise(
    plan: Plan,
    caches: Sequence[LearnedCache],
    window: Traffic,
    limits: Limits,
    level: float,
    spend: Callable[[], None] = lambda: None,
) -> bool:
    """Whether a version passes the test over all answers on the window's units, as it is.

    Args:
        spend: as for `retrain`; not called where no test is possible.
    """
    rows = testing(window)
    if plan.promise.threshold is None or len(rows) < min_samples(limits.max_disagreement, level):
        return False
    spend()
    threshold = plan.promise.threshold
    said = at_threshold(Asked(plan, window).of(caches, rows), threshold)
    _, wrong = exits_and_mistakes(*said, window.answers[rows], threshold)
    return bool(wrong.sum() <= most_disagreements(len(rows), limits.max_disagreement, level))


def testing(samples: Traffic) -> np.ndarray:
    """Rows of the units that may test."""
    rows = np.flatnonzero((samples.roles == TEST) & samples.independent)
    return rows[units(samples.blocks[rows], samples.weights[rows], np.random.default_rng(0))]


def candidate_plan(plan: Plan, candidate: Candidate) -> Plan:
    """The plan that serves `candidate` where `plan` was served."""
    after = candidate.after
    return plan.model_copy(
        update={
            "promise": candidate.promise,
            "class_shares": tuple(candidate.class_shares.tolist()),
            "alternatives": [],
            "data": "traffic",
            "notes": [],
            "expected": plan.expected.model_copy(
                update={
                    "latency_ms": after.latency_ms,
                    "compute_ms": after.compute_ms,
                    "hit_rate": after.hit_rate,
                    "disagreement": after.disagreement,
                    "exits": dict(zip([*plan.cut_points, "base"], after.exits, strict=True)),
                }
            ),
            "caches": [
                record.model_copy(
                    update={
                        "memory_bytes": module_bytes(cache)
                        + (record.memory.most_bytes if record.memory else 0),
                        "agreement": agreement,
                    }
                )
                for record, cache, agreement in zip(
                    plan.caches, candidate.caches, after.agreement, strict=True
                )
            ],
        }
    )


def _balanced(rows: np.ndarray, recent: np.ndarray) -> np.ndarray:
    """Recent samples and the reservoir's in about equal numbers: the fewer are repeated."""
    parts = [rows[recent[rows]], rows[~recent[rows]]]
    if not all(len(part) for part in parts):
        return rows
    most = max(len(part) for part in parts)
    return np.sort(np.concatenate([np.tile(part, max(1, most // len(part))) for part in parts]))
