"""Caches that go on learning from those in service, so that they follow the traffic and forget no
class. Selectors and gates are fitted anew, and what remembers streams on those of the traffic."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.novelty import fit_gate
from cache_models.cache.recall_training import fit_recall
from cache_models.cache.training import fit_predictor, train_selector
from cache_models.follow.traffic import Traffic

WARM: dict[str, Any] = {"epochs": 6, "patience": 2, "warm": True}


def go_on(
    caches: Sequence[LearnedCache],
    samples: Traffic,
    train: np.ndarray,
    taught: np.ndarray,
    select: np.ndarray,
    warm: bool,
    kept: Sequence[int],
    rest: Callable[[], None] = lambda: None,
) -> list[LearnedCache]:
    """
    Args:
        samples: with features at each cache's cut point.
        train: rows that gates learn on.
        taught: those that predictors learn on; some repeated, copies among them.
        select: those on which learning stops, and selectors learn.
        warm: whether the caches have learned anything yet.
        kept: entries of a stream that each remembers, at most.
        rest: called after every small piece of work.
    """
    return [
        _learn(cache, features, samples, train, taught, select, warm, entries, rest)
        for cache, features, entries in zip(caches, samples.features, kept, strict=True)
    ]


def _learn(
    cache: LearnedCache,
    features: np.ndarray,
    samples: Traffic,
    train: np.ndarray,
    taught: np.ndarray,
    select: np.ndarray,
    warm: bool,
    kept: int,
    rest: Callable[[], None],
) -> LearnedCache:
    gate = fit_gate(features, samples.probabilities, train, np.unique(select))
    learned = LearnedCache(cache.variant, features.shape[1:], samples.probabilities.shape[1], gate)
    learned.predictor.load_state_dict(cache.predictor.state_dict())
    learned.selector.stake.copy_(cache.selector.stake)
    targets = torch.from_numpy(samples.probabilities)
    scores = fit_predictor(
        learned.predictor,
        features,
        targets,
        taught,
        select,
        rest=rest,
        **(WARM if warm else {}),
    )
    train_selector(learned.selector, scores, targets[select].argmax(1), 1.0)
    if cache.recall is not None:
        past = samples.answers, samples.keys, samples.at, train, np.unique(select)
        learned.recall = fit_recall(learned, features, *past, kept=kept, rest=rest)
        if learned.recall is None:  # too little of a past: its memory stays, and the gate's space
            learned.recall, learned.gate = cache.recall, cache.gate
        else:
            learned.recall.stake.copy_(cache.recall.stake)
    return learned.eval()
