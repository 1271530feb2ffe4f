"""How a version would have done with samples of the traffic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cache_models.build.pricing import (
    compute_ms_by_exit,
    latency_ms_by_exit,
    outcome_of,
    pricing_of,
)
from cache_models.cache.asking import ask, heard
from cache_models.cache.closed_loop import walk
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.recall import ENTRIES
from cache_models.follow.traffic import Traffic
from cache_models.promise.path import index_of
from cache_models.promise.promise import PATH, exits_and_mistakes, on_path
from cache_models.promise.units import units
from cache_models.store.plan import Plan

UNLIKELY = 0.05
"""Chance with which so many wrong answers would come of what errs as often as allowed."""

Said = tuple[list[np.ndarray], list[np.ndarray]]
"""Predictions and confidences of each cache, as for `promise.calibrate`."""


class Asked:
    """What caches of a plan say of samples.

    What a memory says hangs on what was answered before. So all samples of streams are walked
    through in a row: of those between them that a cache in service has answered, and that nobody
    asked the base DNN about, nothing is known, so memories are at most as fresh as in service.

    Args:
        rest: called after every small piece of work.
    """

    def __init__(self, plan: Plan, samples: Traffic, rest: Callable[[], None] = lambda: None):
        self._plan, self._samples, self._rest = plan, samples, rest
        self._walked: list[tuple[Sequence[LearnedCache], Said]] = []

    def of(self, caches: Sequence[LearnedCache], rows: np.ndarray) -> Said:
        """What each of `caches` says of the samples `rows`."""
        if not self._plan.remembers:
            pairs = zip(caches, self._samples.features, strict=True)
            asked = [ask(cache, at, rows) for cache, at in pairs]
            return [labels for labels, _, _ in asked], [sure for _, sure, _ in asked]
        said = next((said for of, said in self._walked if of is caches), None)
        if said is None:
            said = self._walk(caches)
            self._walked.append((caches, said))
        labels, confidences = said
        return [each[:, rows] for each in labels], [each[:, rows] for each in confidences]

    def _walk(self, caches: Sequence[LearnedCache]) -> Said:
        samples, count = self._samples, len(self._samples.roles)
        memories = [record.memory for record in self._plan.caches]
        heard_of = [
            heard(cache, at, np.arange(count), m is None or m.alone, m.kept if m else ENTRIES)
            for cache, at, m in zip(caches, samples.features, memories, strict=True)
        ]
        rows, path = np.flatnonzero(samples.streams), (len(PATH), 1)
        past = walk(
            [each.of(rows) for each in heard_of],
            samples.answers[rows],
            samples.streams[rows],
            samples.at[rows],
            PATH,
            run_on=samples.independent[rows],
            rest=self._rest,
        )
        labels = [np.tile(each.log_p.argmax(1), path) for each in heard_of]
        confidences = [np.tile(each.alone * each.confidences, path) for each in heard_of]
        for i in range(len(caches)):
            labels[i][:, rows], confidences[i][:, rows] = past.labels[i], past.confidences[i]
        return labels, confidences


def at_threshold(said: Said, threshold: float) -> Said:
    """As for `promise.cascade`."""
    place = max(0, index_of(threshold))
    labels, confidences = ([on_path(each, place) for each in part] for part in said)
    return labels, confidences


@dataclass(frozen=True)
class Standing:
    """What caches would have done with the window's samples, each weighted by its share."""

    latency_ms: float
    compute_ms: float
    hit_rate: float
    disagreement: float
    exits: list[float]
    """Shares, the base DNN last."""
    agreement: list[float]
    """Of each predictor alone."""


def standing(
    plan: Plan, said: Said, samples: Traffic, rows: np.ndarray, threshold: float | None
) -> Standing:
    """How a plan stands; without a threshold, the base DNN alone.

    Args:
        said: of the samples `rows`.
    """
    answers, caches = samples.answers[rows], len(plan.caches)
    said = at_threshold(said, PATH[0] if threshold is None else threshold)
    agreement = [float((predictions == answers).mean()) for predictions in said[0]]
    if threshold is None or not len(rows):
        expected = plan.expected
        nowhere = [0.0] * caches + [1.0]
        return Standing(
            expected.base_latency_ms, expected.base_compute_ms, 0.0, 0.0, nowhere, agreement
        )
    latency_ms, compute_ms = latency_and_compute_ms(plan)
    exits, wrong = exits_and_mistakes(*said, answers, threshold)

    def mean(values: np.ndarray) -> float:
        return float(np.average(values, weights=samples.weights[rows]))

    return Standing(
        mean(latency_ms[exits]),
        mean(compute_ms[exits]),
        mean(exits < caches),
        mean(wrong),
        [mean(exits == i) for i in range(caches + 1)],
        agreement,
    )


def errs_too_often(
    asked: Asked,
    caches: Sequence[LearnedCache],
    samples: Traffic,
    rows: np.ndarray,
    threshold: float,
    limit: float,
) -> bool:
    """Whether units of the samples `rows` speak against at most `limit` wrong answers."""
    from scipy.special import bdtrc  # the tail of the binomial distribution

    rows = rows[units(samples.blocks[rows], samples.weights[rows], np.random.default_rng(0))]
    said = at_threshold(asked.of(caches, rows), threshold)
    _, wrong = exits_and_mistakes(*said, samples.answers[rows], threshold)
    return bool(bdtrc(wrong.sum() - 1, len(rows), limit) <= UNLIKELY)


def latency_and_compute_ms(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """What a request that exits at each cache, or at the base DNN's end, pays: with hops, and for
    slices and lookups alone."""
    pricing, nothing = pricing_of(plan), np.empty(0)
    outcomes = [outcome_of(plan, cache, nothing, nothing) for cache in plan.caches]
    compute_ms = compute_ms_by_exit(
        [outcome.cut_point.compute_share for outcome in outcomes],
        [cache.lookup_ms for cache in plan.caches],
        pricing.base_ms,
    )
    return latency_ms_by_exit(outcomes, pricing), compute_ms
