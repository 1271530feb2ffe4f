"""What it is worth to know which classes are frequent: hits of caches as they were built, and of
the same caches told of it, on traffic of few classes."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from cache_models.bench.streams import most_agreeing
from cache_models.build.exploration import Trained
from cache_models.build.split import LearningData
from cache_models.cache.asking import ask
from cache_models.cache.learned_cache import LearnedCache
from cache_models.errors import DataError
from cache_models.follow.class_mix import between, specialised
from cache_models.follow.traffic import Traffic
from cache_models.promise.promise import Limits

COUNTS = (1, 2, 3, 5)
INSIDE = 0.95
"""Share of requests that are of the few classes."""
FEWEST = 20
"""Samples of a class, to show anything on."""


def table(
    learning: LearningData,
    trained: Sequence[Trained],
    limits: Limits,
    draws: int = 10,
    seed: int = 0,
) -> str:
    """In Markdown: hits among the samples that calibrate, weighed as such traffic would have them,
    at the loosest threshold in hindsight; the mean over sets of classes drawn at random.

    Args:
        limits: of wrong answers among all, and among those of all other classes.

    Raises:
        DataError: too few classes have samples enough.
    """
    recording, rng = learning.recording, np.random.default_rng(seed)
    answers, show = recording.answers, learning.calibrate
    often = np.flatnonzero(np.bincount(answers[show]) >= FEWEST)
    if len(often) <= COUNTS[0]:
        raise DataError(f"{len(often)} classes have {FEWEST} samples to show anything on")
    counts = [count for count in COUNTS if count < len(often)]
    sets = {m: [rng.choice(often, m, replace=False) for _ in range(draws)] for m in counts}
    head = "".join(f" {count} of {len(often)} classes |" for count in counts)
    lines = [f"| hits |{head}", "| --- " * (len(counts) + 1) + "|"]
    for name, features in recording.features.items():
        here = [made.cache for made in trained if made.cut_point == name]
        if not here:
            continue
        cache = most_agreeing(here, learning, features)
        found = {
            m: np.mean([_hits(cache, features, learning, few, limits) for few in some], axis=0)
            for m, some in tqdm(sets.items(), desc=name, unit="size")
        }
        for row, how in enumerate(("as built", "told the classes")):
            shares = "".join(f" {found[m][row]:.1%} |" for m in counts)
            lines.append(f"| {name}: {cache.variant.name}, {how} |{shares}")
    return "\n".join(lines)


def _hits(
    cache: LearnedCache,
    features: np.ndarray,
    learning: LearningData,
    few: np.ndarray,
    limits: Limits,
) -> tuple[float, float]:
    """As built, and told that the classes `few` are frequent."""
    recording, select, show = learning.recording, learning.select, learning.calibrate
    answers = recording.answers
    samples = Traffic(
        [features],
        recording.probabilities,
        np.zeros(len(answers), np.uint8),
        np.ones(len(answers), np.float32),
        np.arange(len(answers)),
        np.zeros(len(answers), np.int64),
        np.zeros(len(answers)),
    )
    usual = np.bincount(answers[learning.train], minlength=recording.probabilities.shape[1])
    usual = usual / usual.sum()
    inside = np.isin(np.arange(len(usual)), few)
    now = np.where(inside, INSIDE, 1 - INSIDE) * usual
    now /= np.where(inside, usual[inside].sum(), usual[~inside].sum())
    recent = select[inside[answers[select]]]
    taught = np.concatenate([select, np.tile(recent, max(1, len(select) // max(1, len(recent))))])
    heads = [
        specialised([cache], samples, taught, usual, expected)[0]
        for expected in between(now, usual)
    ]
    among = inside[answers[show]]
    weights = np.where(among, INSIDE / among.sum(), (1 - INSIDE) / (~among).sum())

    def best(of: LearnedCache) -> float:
        labels, confidences, _ = ask(of, features, show)
        order = np.argsort(-confidences)
        wrong = (labels != answers[show])[order]
        of_all = np.cumsum(weights[order] * wrong)
        of_others = np.cumsum(wrong & ~among[order]) / (~among).sum()
        fits = np.flatnonzero(
            (of_all <= limits.max_disagreement) & (of_others <= limits.max_class_disagreement)
        )
        return float(np.cumsum(weights[order])[fits[-1]]) if len(fits) else 0.0

    return best(cache), max(best(head) for head in heads)
