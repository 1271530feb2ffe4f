"""The accuracy promise: fixed-sequence testing of the whole cascade.

For requests drawn independently from the calibration distribution, with probability at least
`confidence` over the calibration sample, at most `max_disagreement` of all answers differ from the
base DNN's, and of the answers to requests of one base class at most `max_class_disagreement`.
Requests of one block may depend on each other; then blocks are drawn, and `units` are counted.

Thresholds are tried from strict to loose, in an order fixed beforehand. Each must pass exact
binomial tests before the next is tried, so that the first to fail ends the search and no correction
for the number of thresholds is needed (Learn then Test: Angelopoulos et al. 2021).
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, Field

from cache_models.promise.units import units, units_by_class

PATH = 1 / (1 + np.exp(-np.linspace(8.0, 0.0, 81)))
"""Thresholds on the selectors' confidence, strict to loose; fixed, so never tuned."""


class Limits(BaseModel, frozen=True):
    """What the operator allows."""

    max_disagreement: float = Field(0.01, gt=0, lt=1)
    max_class_disagreement: float = Field(0.05, gt=0, lt=1)
    confidence: float = Field(0.95, gt=0, lt=1)
    max_caches: int = Field(3, ge=0, le=4)
    max_cache_bytes: int | None = Field(None, ge=0)
    max_miss_latency_ms: float | None = Field(None, gt=0)
    """Of a request that misses everywhere, expected from the measured costs."""


class ClassRecord(BaseModel):
    """Units of one base class among the calibration samples, and how many answers differed."""

    samples: int
    disagreements: int
    tested: bool


class Promise(BaseModel):
    """What was tested and passed; `samples` are units, and `disagreements` are among them."""

    limits: Limits
    threshold: float | None
    samples: int
    disagreements: int
    classes: list[ClassRecord]

    @property
    def disagreement(self) -> float:
        """Share of the answers that differed on the samples that it was tested on."""
        return self.disagreements / max(1, self.samples)


def cascade(
    predictions: Sequence[np.ndarray], confidences: Sequence[np.ndarray], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where each of N requests exits, and what a hit answers.

    Args:
        predictions: `(N,)` labels, one array per cache in execution order.
        confidences: the selectors', `(N,)`, likewise.

    Returns:
        exits `(N,)`, the index of the first cache that hits, `len(predictions)` for the base DNN;
        labels `(N,)`, -1 where the base DNN answers.
    """
    n = len(predictions[0])
    exits = np.full(n, len(predictions))
    labels = np.full(n, -1)
    for i in reversed(range(len(predictions))):
        hit = confidences[i] >= threshold
        exits[hit] = i
        labels[hit] = predictions[i][hit]
    return exits, labels


def on_path(said: np.ndarray, place: int) -> np.ndarray:
    """What a cache says at one threshold of a path, `(N,)`.

    Args:
        said: `(N,)`, or `(J, N)` of a cache that says something else at each of J thresholds, since
            it remembers what was answered before.
    """
    return said if said.ndim == 1 else said[place]


def exits_and_mistakes(
    predictions: Sequence[np.ndarray],
    confidences: Sequence[np.ndarray],
    answers: np.ndarray,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Where each of N requests exits, and whether what it is answered differs from the base DNN's
    labels `answers`; `(N,)` each, arguments as for `cascade`."""
    exits, labels = cascade(predictions, confidences, threshold)
    return exits, (labels >= 0) & (labels != answers)


def min_samples(limit: float, level: float) -> int:
    """The least n that can pass, with no disagreement among them: (1 - limit)^n <= level.

    >>> min_samples(0.01, 0.05)
    299
    """
    return int(np.ceil(np.log(level) / np.log1p(-limit)))


def allowed_disagreements(
    answers: np.ndarray, classes: int, limits: Limits, samples: int | None = None
) -> tuple[float, np.ndarray]:
    """The most disagreements with which a cascade passes the exact binomial tests.

    Every class is tested at `(1 - confidence) / classes`; one with fewer samples than could ever
    pass is left out.

    Args:
        answers: the base DNN's labels `(N,)`.
        samples: the test would be on so many like them; more samples allow a larger share.

    Returns:
        Of all N samples, -1 if not even none passes; and of each class `(K,)`, infinite where a
        class is left out.
    """
    level = 1 - limits.confidence
    ratio = 1.0 if samples is None else samples / len(answers)
    total = most_disagreements(round(len(answers) * ratio), limits.max_disagreement, level)
    by_class = [
        most_disagreements(round(count * ratio), limits.max_class_disagreement, level / classes)
        for count in np.bincount(answers, minlength=classes)
    ]
    return total / ratio, np.array([np.inf if most < 0 else most / ratio for most in by_class])


def most_disagreements(samples: int, limit: float, level: float) -> int:
    """The most of `samples` that may disagree in an exact binomial test of `limit`; -1 if none."""
    from scipy.special import bdtr  # the binomial distribution function; not needed to serve

    return int((bdtr(np.arange(samples + 1), samples, limit) <= level).sum()) - 1


def bounds(wrong: int, samples: int, confidence: float) -> tuple[float, float]:
    """The exact binomial bounds of a share of which `samples` have shown `wrong` (Clopper and
    Pearson 1934): each holds by itself with that confidence, for independent samples.

    >>> [round(bound, 4) for bound in bounds(0, 299, 0.95)]
    [0.0, 0.01]
    """
    from scipy.special import betaincinv  # the beta distribution's quantiles

    lower = betaincinv(wrong, samples - wrong + 1, 1 - confidence) if wrong else 0.0
    upper = betaincinv(wrong + 1, samples - wrong, confidence) if wrong < samples else 1.0
    return float(lower), float(upper)


def error_share(limits: Limits, test: int) -> float:
    """The part of the promise's error probability that the first, second, … of any number of tests
    may use; all of them sum to the whole, so that trying again does not add up.

    Where tests are counted anew once none of what an earlier one read is read again, the whole is
    spent at most once in any stretch within which every two tests share what they read.
    """
    return (1 - limits.confidence) / (test * (test + 1))


def calibrate(
    predictions: Sequence[np.ndarray],
    confidences: Sequence[np.ndarray],
    answers: np.ndarray,
    classes: int,
    limits: Limits,
    path: np.ndarray = PATH,
    overall: np.ndarray | None = None,
    samples: int | None = None,
    blocks: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    given: np.ndarray | None = None,
) -> Promise:
    """The loosest threshold of `path` that keeps the promise on these calibration samples.

    Args:
        predictions, confidences: as for `cascade`; also as for `on_path`.
        answers: the base DNN's labels `(N,)`.
        overall: `(N,)` bool, the samples on which all answers are tested; by default all, and every
            class on all in any case.
        samples: as for `allowed_disagreements`, of all answers.
        blocks, weights: `(N,)`, as for `units`; by default every sample is a block of its own, and
            all weigh the same.
        given: the labels `(N,)` that requests are answered which miss everywhere; by default
            `answers`.

    Returns:
        The promise; its threshold is None if the strictest fails already, and caches stay off.
    """
    count = len(answers)
    overall = np.ones(count, bool) if overall is None else overall
    blocks = np.arange(count) if blocks is None else blocks
    weights = np.ones(count) if weights is None else weights
    rng = np.random.default_rng(0)  # the draw is fixed before it is known who is wrong
    rows = np.flatnonzero(overall)
    rows = rows[units(blocks[rows], weights[rows], rng)]
    of_classes = units_by_class(answers, blocks, weights, rng)
    allowed, _ = allowed_disagreements(answers[rows], classes, limits, samples)
    _, allowed_by_class = allowed_disagreements(answers[of_classes], classes, limits)

    def by_class(wrong: np.ndarray) -> np.ndarray:
        return np.bincount(answers[of_classes][wrong[of_classes]], minlength=classes)

    passed = None
    wrong = np.zeros(count, bool)
    if len(predictions):
        if given is not None:  # what partitions answer is then right or wrong as a cache's hit is
            predictions = [*predictions, given]
            confidences = [*confidences, np.ones(count)]
        for place, threshold in enumerate(path):
            _, candidate = exits_and_mistakes(
                [on_path(said, place) for said in predictions],
                [on_path(said, place) for said in confidences],
                answers,
                threshold,
            )
            if candidate[rows].sum() > allowed or (by_class(candidate) > allowed_by_class).any():
                break
            passed, wrong = float(threshold), candidate
    counts = np.bincount(answers[of_classes], minlength=classes)
    return Promise(
        limits=limits,
        threshold=passed,
        samples=len(rows),
        disagreements=int(wrong[rows].sum()),
        classes=[
            ClassRecord(samples=int(n), disagreements=int(k), tested=bool(np.isfinite(most)))
            for n, k, most in zip(counts, by_class(wrong), allowed_by_class, strict=True)
        ],
    )
