"""What the recent past of a stream says of a request: frames of one camera, words of one speaker,
requests of one user are alike, and the base DNN has answered some of them already.

A few entries are kept of a stream: where in a small learned space an input lay, the base DNN's
answer to it, and when it came. Entries vote for their answers, the nearer and the fresher the more,
and what the predictor says is weighed with the votes, as a language model with its own recent past
in a continuous cache (Grave et al. 2017):

    score of class k = trust * log p_k + log(1 + weight * votes_k)
    vote of an entry = exp(-nearness * squared distance - staleness * log(1 + age in seconds))

How far the best class is to be trusted is learned, too: logistic regression on what the predictor's
selector reads, here of these scores, and on the nearest and the newest entry. Without entries, or
without a stream, the learned cache answers as if there were none of this.

All is numpy: lookups have no PyTorch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from cache_models.cache.architecture import LEAST_LOG_P, STATISTICS

ENTRIES = 8
"""That speak; of a stream so many are kept, and the oldest goes."""
SHARED_ENTRIES = 10_000
"""Kept where all requests share one memory; the nearest of them speak."""
DIRECTIONS = 16
"""Of the learned space, at most."""
RECALLED = 8
"""Statistics beside those of the scores."""
PREFIX = "recall."
"""Of the names of its weights in a cache's file."""
TERMS = STATISTICS + RECALLED
TERMS += TERMS * (TERMS + 1) // 2
MOST = 10.0
"""Deviations by which a term may lie off its mean; beyond that it says no more."""
SEARCHED = 256
"""Entries of a shared memory, the nearest, among which each of those that are walked through
together looks for its own."""
FAR, LONG_S = 1e3, 1e5
"""Where there is no entry; distances and ages count as no more than that."""


class Entries(NamedTuple):
    """Of N streams, each with room for E entries.

    Attributes:
        vectors: `(N, E, d)` float32.
        class_ids: `(N, E)` int64, the base DNN's answers.
        at: `(N, E)` float64, when their requests came, in seconds; -inf where there is none.
    """

    vectors: np.ndarray
    class_ids: np.ndarray
    at: np.ndarray

    @classmethod
    def none(cls, streams: int, directions: int) -> "Entries":
        shape = (streams, ENTRIES)
        return cls(
            np.zeros((*shape, directions), np.float32),
            np.zeros(shape, np.int64),
            np.full(shape, -np.inf),
        )

    def put(self, which: np.ndarray, vector: np.ndarray, class_id: int, at: float) -> None:
        """In place of the oldest entry of each stream of `which`, `(n,)` indices."""
        oldest = self.at[which].argmin(1)
        self.vectors[which, oldest] = vector
        self.class_ids[which, oldest] = class_id
        self.at[which, oldest] = at

    def near(self, vector: np.ndarray) -> "Entries":
        """Those that speak of an input there: all."""
        return self


class Gallery:
    """Of N memories that heard of the same inputs, each with room for many entries.

    Args:
        memories: N.
        directions: of the vectors.
        kept: the oldest of more goes.
    """

    def __init__(self, memories: int, directions: int, kept: int = SHARED_ENTRIES):
        self._vectors = np.zeros((kept, directions), np.float32)
        self._squares = np.zeros(kept, np.float32)
        self._class_ids, self._at = np.zeros(kept, np.int64), np.zeros(kept)
        self._there = np.zeros((memories, kept), bool)
        self._heard = 0

    def put(self, which: np.ndarray, vector: np.ndarray, class_id: int, at: float) -> None:
        """Into each memory of `which`, `(n,)` indices."""
        place = self._heard % len(self._vectors)
        self._vectors[place], self._class_ids[place], self._at[place] = vector, class_id, at
        self._squares[place] = np.square(self._vectors[place]).sum()
        self._there[:, place] = False
        self._there[which, place] = True
        self._heard += 1

    def near(self, vector: np.ndarray) -> Entries:
        """Of each memory those nearest to `vector`, `(d,)`: of the `SEARCHED` nearest that any has
        heard of."""
        entries = Entries.none(len(self._there), self._vectors.shape[1])
        if not (size := min(self._heard, len(self._vectors))):
            return entries
        # of |a - b|^2 what differs between entries
        squares = self._squares[:size] - 2 * (self._vectors[:size] @ vector.astype(np.float32))
        searched = min(SEARCHED if len(self._there) > 1 else ENTRIES, size)
        nearest = np.argpartition(squares, searched - 1)[:searched]
        nearest = nearest[np.argsort(squares[nearest])]
        there = self._there[:, nearest]
        first = np.argsort(~there, axis=1, kind="stable")[:, :ENTRIES]
        rows, found = nearest[first], first.shape[1]
        entries.vectors[:, :found] = self._vectors[rows]
        entries.class_ids[:, :found] = self._class_ids[rows]
        known = np.take_along_axis(there, first, axis=1)
        entries.at[:, :found] = np.where(known, self._at[rows], -np.inf)
        return entries


Memory = Entries | Gallery


def memory(count: int, directions: int, kept: int = ENTRIES) -> Memory:
    """Empty, of so many streams with room for `kept` entries each."""
    if kept <= ENTRIES:
        return Entries.none(count, directions)
    return Gallery(count, directions, kept)


@dataclass(frozen=True)
class Recall:
    """
    Attributes:
        trust, weight, nearness, staleness: as above, each positive.
        mean, scale, linear, bias: of the selector's terms, `(TERMS,)`, and its logistic regression.
        stake: as of a `Selector`.
        near: squared distance of an entry, within which an input is not novel, whatever a cache
            without a memory would say; below 0 for none.
    """

    trust: float
    weight: float
    nearness: float
    staleness: float
    mean: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    bias: float
    stake: float = 1.0
    near: float = -1.0

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray]) -> "Recall | None":
        """From a cache's file; None if that has none."""
        if f"{PREFIX}trust" not in weights:
            return None
        names = (each.name for each in fields(cls))
        given = {n: weights[PREFIX + n] for n in names if PREFIX + n in weights}  # older: no `near`
        return cls(**{name: w if w.ndim else float(w) for name, w in given.items()})  # type: ignore[arg-type]

    def confidence(self, recalled: "Recalled") -> np.ndarray:
        """`(N,)`; 0 where there is no entry."""
        x = (terms(recalled.statistics) - self.mean) * self.scale
        x = np.clip(x, -MOST, MOST)
        logit = x @ self.linear + self.bias + np.log(self.stake)
        with np.errstate(over="ignore"):
            return np.where(recalled.any, 1 / (1 + np.exp(-logit)), 0.0)

    def may_say(self, recalled: "Recalled", familiar: np.ndarray | bool) -> np.ndarray:
        """Whether there is an entry, and the input is familiar, or as good as an entry, `(N,)`
        bool."""
        return recalled.any & (familiar | (recalled.nearest <= self.near))

    def recalled(
        self, log_p: np.ndarray, vectors: np.ndarray, entries: Entries, at: np.ndarray | float
    ) -> "Recalled":
        """What N requests may be answered, each with entries of its own.

        Args:
            log_p: the predictor's, `(N, K)` or `(K,)` for all.
            vectors: `(N, d)` or `(d,)`.
            at: when they came, `(N,)` or one for all. Entries of then or later are left alone.
        """
        count, rows = len(entries.at), np.arange(len(entries.at))
        log_p = np.broadcast_to(np.maximum(log_p, LEAST_LOG_P), (count, log_p.shape[-1]))
        ages = np.asarray(at, float)[..., None] - entries.at
        there = np.isfinite(ages) & (ages > 0)
        ages = np.where(there, np.minimum(ages, LONG_S), LONG_S)
        differences = entries.vectors - np.expand_dims(vectors, -2)
        squares = np.einsum("ned,ned->ne", differences, differences)
        squares = np.where(there, np.minimum(squares, FAR), FAR)
        log_ages = np.log1p(ages)
        votes = np.exp(-self.nearness * squares - self.staleness * log_ages) * there
        by_class = np.zeros(log_p.shape)
        for e in range(votes.shape[1]):
            by_class[rows, entries.class_ids[:, e]] += votes[:, e]
        scores = self.trust * log_p + np.log1p(self.weight * by_class)
        log_q = scores - _log_sum_exp(scores)
        answers = log_q.argmax(1)
        nearest = squares.argmin(1)
        newest = ages.argmin(1)
        total = votes.sum(1)
        statistics = np.stack(
            [
                *_of_scores(log_q),
                np.log(squares[rows, nearest] + 1e-3),
                log_ages[rows, nearest],
                log_ages[rows, newest],
                by_class[rows, answers] / (total + 1e-9),
                np.maximum(np.log(total + 1e-9), LEAST_LOG_P),
                entries.class_ids[rows, nearest] == answers,
                entries.class_ids[rows, newest] == answers,
                log_p[rows, answers],
            ],
            axis=1,
        )
        return Recalled(log_q, statistics, there.any(1), squares[rows, nearest])


class Recalled(NamedTuple):
    """What entries say of N requests.

    Attributes:
        log_q: of the classes, `(N, K)`.
        statistics: `(N, STATISTICS + RECALLED)`.
        any: whether there was an entry, `(N,)` bool.
        nearest: squared distance of the nearest, `(N,)`.
    """

    log_q: np.ndarray
    statistics: np.ndarray
    any: np.ndarray
    nearest: np.ndarray


def terms(statistics: np.ndarray) -> np.ndarray:
    """The statistics and their products, `(N, TERMS)`."""
    rows, columns = np.triu_indices(statistics.shape[1])
    return np.concatenate([statistics, statistics[:, rows] * statistics[:, columns]], axis=1)


def _of_scores(log_q: np.ndarray) -> list[np.ndarray]:
    """What a `Selector` reads, each `(N,)`."""
    kept = min(3, log_q.shape[1])
    top = -np.sort(-np.partition(log_q, -kept, axis=1)[:, -kept:], axis=1)
    top = np.maximum(top, LEAST_LOG_P)
    top = np.pad(top, ((0, 0), (0, 3 - kept)), constant_values=LEAST_LOG_P)
    entropy = -(np.exp(log_q) * log_q).sum(1)
    return [*top.T, top[:, 0] - top[:, 1], entropy]


def _log_sum_exp(scores: np.ndarray) -> np.ndarray:
    """Of each row, `(N, 1)`."""
    most = scores.max(1, keepdims=True)
    return most + np.log(np.exp(scores - most).sum(1, keepdims=True))
