"""Choose where to put caches, and which: the set with the least expected latency, exactly.

Every set of at most `max_caches` caches, one variant a cut point, is weighed on the recorded
outcomes of the selection samples, each at the loosest threshold that keeps the promise on them, so
that a hit at a later layer counts only for samples that missed before. A request pays what it would
pay when served: the slices up to its exit, the lookups on its way, and the hops.

Sets whose latency is as good as equal are told apart by their slowest class: the traffic will have
other class mixes than the samples, and where one class prevails a second cache is worth most.

Sets are counted by matrix products (samples that missed a prefix x samples that hit an extension),
and a prefix whose answers are wrong too often takes all its extensions with it, because a later
cache changes no earlier answer.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from cache_models.build.pricing import Outcome, Pricing, latency_ms_by_exit
from cache_models.promise.path import index_of
from cache_models.promise.promise import PATH, Limits, allowed_disagreements, cascade, on_path

CHUNK = 512
TIE, MOST_TIES = 0.03, 200
"""Of the least latency, by which others may exceed it and count as equal: prices are measured no
better than that. And how many of those, the quickest first, are looked at."""


class Composition(NamedTuple):
    """The caches to deploy, in execution order, the latency to expect of them, and where on `PATH`
    they were weighed."""

    caches: list[Outcome]
    latency_ms: float
    place: int = 0


def compose(
    outcomes: Sequence[Outcome],
    answers: np.ndarray,
    classes: int,
    pricing: Pricing,
    limits: Limits,
    calibration_samples: int | None = None,
) -> Composition:
    """The caches to deploy; none if none helps.

    Args:
        outcomes: one per candidate and variant, on N selection samples.
        answers: the base DNN's labels of them, `(N,)`.
        calibration_samples: on which the promise will be tested; by default N.
    """
    outcomes = sorted(outcomes, key=lambda o: o.cut_point.compute_share)
    if not outcomes:
        return Composition([], pricing.rest_ms(None))
    weigh = _Weigher(outcomes, answers, classes, pricing, limits, calibration_samples)
    sizes = _sizes(outcomes, len(weigh.classes), pricing, limits)
    for place in range(len(PATH)):
        weigh.at(place, sizes)
        if not any(size.passes.any() for size in sizes):
            break

    ranked = []
    for size in sizes:
        latency = np.where(size.eligible, size.latency_ms, np.inf)
        for place in np.argsort(latency, axis=None)[:MOST_TIES]:
            row, last = np.unravel_index(place, latency.shape)
            members = [*size.prefixes[row], last]
            ranked.append((float(latency[row, last]), float(size.threshold[row, last]), members))
    ranked = [found for found in ranked if found[0] < pricing.rest_ms(None)]
    if not ranked:
        return Composition([], pricing.rest_ms(None))
    ranked.sort(key=lambda found: found[0])
    equal = [found for found in ranked[:MOST_TIES] if found[0] <= (1 + TIE) * ranked[0][0]]
    rows = [answers == k for k in np.flatnonzero(np.isfinite(weigh.allowed_by_answer))]

    def slowest_class_ms(found: tuple[float, float, list[int]]) -> float:
        _, threshold, members = found
        caches, place = [outcomes[i] for i in members], index_of(threshold)
        said = (
            [on_path(o.predictions, place) for o in caches],
            [on_path(o.confidences, place) for o in caches],
        )
        paid_ms = latency_ms_by_exit(caches, pricing)[cascade(*said, threshold)[0]]
        return max((paid_ms[of_class].mean() for of_class in rows), default=0.0)

    latency_ms, threshold, members = min(equal, key=slowest_class_ms)
    return Composition([outcomes[i] for i in members], latency_ms, index_of(threshold))


class _Size:
    """All sets of one size: a row for all caches but the last, a column for the last.

    Attributes:
        prefixes: `(P, size - 1)` indices of caches.
        parents: `(P,)` rows and columns of the prefixes among the sets of the size before.
        path_ms: `(P, M)`, what a request that misses everywhere has paid at the last verdict.
        passes: `(P, M)`, the sets that have kept the promise at every threshold so far.
        eligible: `(P, M)`, the sets within the other limits.
        latency_ms, threshold: `(P, M)`, expected at the loosest threshold passed, and that.
        wrong, exits_ms, missed: `(P, M, T)`, `(P, M)`, `(P, M)`, at the present threshold: wrong
            answers by the weigher's T classes, milliseconds of all samples that hit, samples that
            missed everywhere.
    """

    def __init__(self, prefixes, parents, path_ms, exists, eligible, classes):
        self.prefixes, self.parents, self.path_ms = prefixes, parents, path_ms
        self.passes, self.eligible = exists.copy(), eligible
        self.latency_ms = np.full(exists.shape, np.inf)
        self.threshold = np.full(exists.shape, np.inf)
        self.wrong = np.zeros((*exists.shape, classes), np.int32)
        self.exits_ms = np.zeros(exists.shape)
        self.missed = np.zeros(exists.shape)


def _sizes(
    outcomes: Sequence[Outcome], classes: int, pricing: Pricing, limits: Limits
) -> list[_Size]:
    """The sets that the limits on bytes, number and the misses' latency leave."""
    points = [o.cut_point for o in outcomes]
    place = np.array([p.compute_share for p in points])
    first_ms = np.array([pricing.lookup_ms(None, o) for o in outcomes])
    next_ms = np.array([[pricing.lookup_ms(p, o) for o in outcomes] for p in points])
    rest_ms = np.array([pricing.rest_ms(p) for p in points])
    memory = np.array([o.memory_bytes for o in outcomes], float)
    max_bytes = np.inf if limits.max_cache_bytes is None else limits.max_cache_bytes
    max_miss_ms = np.inf if limits.max_miss_latency_ms is None else limits.max_miss_latency_ms

    sizes: list[_Size] = []
    for _ in range(limits.max_caches):
        if not sizes:
            prefixes, parents = np.zeros((1, 0), int), (np.zeros(1, int), np.zeros(1, int))
            exists, path_ms, held = np.ones((1, len(outcomes)), bool), first_ms[None], memory[None]
        else:
            parents = np.nonzero(exists)
            last = parents[1]
            prefixes = np.hstack([prefixes[parents[0]], last[:, None]])
            path_ms = path_ms[parents][:, None] + next_ms[last]
            held = held[parents][:, None] + memory
            exists = place[last][:, None] < place
        exists = exists & (held <= max_bytes)
        if not exists.any():
            break
        eligible = exists & (path_ms + rest_ms <= max_miss_ms)
        sizes.append(_Size(prefixes, parents, path_ms, exists, eligible, classes))
    return sizes


class _Weigher:
    """Counts, for every set, who exits where and how many answers are wrong.

    All classes that have too few samples to be tested count as one without a limit, since most of
    a thousand classes may be such.
    """

    def __init__(self, outcomes, answers, classes, pricing, limits, calibration_samples):
        self.allowed, allowed_by_class = allowed_disagreements(
            answers, classes, limits, calibration_samples
        )
        self.allowed_by_answer = allowed_by_class
        tested = np.flatnonzero(np.isfinite(allowed_by_class))
        self.allowed_by_class = np.append(allowed_by_class[tested], np.inf)
        group = np.full(classes, len(tested))
        group[tested] = np.arange(len(tested))
        group = group[answers]
        by_class = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[by_class], np.arange(len(tested) + 2))
        self.classes = [slice(*pair) for pair in pairwise(starts)]
        self.outcomes, self.answers, self.by_class = outcomes, answers[by_class], by_class
        self.confidences = np.stack([on_path(o.confidences, 0)[by_class] for o in outcomes])
        predictions = np.stack([on_path(o.predictions, 0)[by_class] for o in outcomes])
        self.disagrees = predictions != self.answers
        self.rest_ms = np.array([pricing.rest_ms(o.cut_point) for o in outcomes])

    def at(self, place: int, sizes: list[_Size]) -> None:
        """Weigh every set that still passes at the next, looser threshold of `PATH`."""
        threshold = PATH[place]
        for i, outcome in enumerate(self.outcomes):
            if outcome.predictions.ndim > 1:  # says something else at every threshold
                self.confidences[i] = outcome.confidences[place][self.by_class]
                self.disagrees[i] = outcome.predictions[place][self.by_class] != self.answers
        hits = (self.confidences >= threshold).astype(np.float32)
        wrong, misses = hits * self.disagrees, 1 - hits
        count = hits.shape[1]
        before = None
        for size in sizes:
            if before is None:
                parent_wrong = np.zeros((1, len(self.classes)), np.int32)
                parent_exits_ms, parent_missed = np.zeros(1), np.full(1, float(count))
            else:
                size.passes &= before.passes[size.parents][:, None]
                parent_wrong = before.wrong[size.parents]
                parent_exits_ms = before.exits_ms[size.parents]
                parent_missed = before.missed[size.parents]
            alive = np.flatnonzero(size.passes.any(1))
            for rows in np.array_split(alive, len(alive) // CHUNK + 1):
                missed_so_far = misses[size.prefixes[rows]].prod(1, dtype=np.float32)
                exits = missed_so_far @ hits.T
                size.wrong[rows] = parent_wrong[rows][:, None] + np.stack(
                    [missed_so_far[:, k] @ wrong[:, k].T for k in self.classes], axis=-1
                ).astype(np.int32)
                size.exits_ms[rows] = parent_exits_ms[rows][:, None] + exits * size.path_ms[rows]
                size.missed[rows] = parent_missed[rows][:, None] - exits
            size.passes &= size.wrong.sum(-1) <= self.allowed
            size.passes &= (size.wrong <= self.allowed_by_class).all(-1)
            total_ms = size.exits_ms + size.missed * (size.path_ms + self.rest_ms)
            size.latency_ms = np.where(size.passes, total_ms / count, size.latency_ms)
            size.threshold[size.passes] = threshold
            before = size
