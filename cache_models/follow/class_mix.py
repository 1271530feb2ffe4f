"""Caches for the classes of the moment.

What a predictor says of an input contains how frequent each class was among the samples that it
learned on. Where other classes are frequent now, its scores are moved by the logarithm of the
ratio (Saerens et al. 2002), a change of its last layer's biases, and its selector is fitted anew:
milliseconds. Such a head does better than one fitted to the same samples by ridge regression or
linear discriminants.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.training import scores_of, train_selector
from cache_models.follow.traffic import Traffic

OTHERS = (0.1, 0.2, 0.4, 0.7)
"""Shares of what comes that may be taken to be of any class, so that none becomes unthinkable; the
more, the less of classes that are rare now is answered wrongly."""
LEAST_SHARE = 1e-4


def mixes(samples: Traffic, usual: np.ndarray, recent: np.ndarray) -> list[np.ndarray]:
    """The class shares that may be expected, `(K,)` each: of recent requests, and more or less of
    all that is known.

    Args:
        usual: rows of samples of all known classes.
        recent: rows of recent ones, each of which stands for as many requests as it weighs.
    """
    now = _shares(samples, recent, samples.weights)
    known = _shares(samples, usual if len(usual) else recent, np.ones(len(samples.weights)))
    return between(now, known)


def between(now: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
    """Class shares from those of the moment to nearly those of all that is known, `(K,)` each."""
    return [(1 - others) * now + others * known for others in OTHERS]


def specialised(
    caches: Sequence[LearnedCache],
    samples: Traffic,
    select: np.ndarray,
    then: np.ndarray,
    now: np.ndarray,
) -> list[LearnedCache]:
    """Caches that expect other classes.

    Args:
        samples: with features at each cache's cut point.
        select: rows that selectors learn on.
        then, now: class shares that the caches take for granted, and are to, `(K,)`.
    """
    answers = torch.from_numpy(samples.answers[select])
    ratio = np.maximum(now, LEAST_SHARE) / np.maximum(then, LEAST_SHARE)
    moved = torch.from_numpy(np.log(ratio)).float()
    made = []
    for cache, features in zip(caches, samples.features, strict=True):
        head = copy.deepcopy(cache)
        with torch.no_grad():
            head.predictor.bias.add_(moved)
        train_selector(head.selector, scores_of(head.predictor, features, select), answers, 1.0)
        made.append(head.eval())
    return made


def _shares(samples: Traffic, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    classes = samples.probabilities.shape[1]
    counts = np.bincount(samples.answers[rows], weights[rows], minlength=classes)
    return counts / max(counts.sum(), 1e-9)
