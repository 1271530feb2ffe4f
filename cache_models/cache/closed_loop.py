"""What learned caches with memories of streams say of a recorded sequence, as served.

What a memory knows hangs on what was answered before: only requests that the base DNN answered
leave an entry, so the looser the threshold, the older the entries. So a sequence is walked through
once for each threshold, all at the same time, each with memories of its own.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cache_models.cache.recall import ENTRIES, Memory, Recall, memory


class Heard(NamedTuple):
    """What one learned cache says of N samples, and what it takes to remember them.

    Attributes:
        log_p: the predictor's, `(N, K)`.
        confidences: without a past, `(N,)`; 0 where the input is novel.
        vectors: `(N, d)`; None for a cache without a memory.
        recall: likewise.
        alone: whether a cache with a memory answers without entries, too.
        kept: entries of a stream, at most.
    """

    log_p: np.ndarray
    confidences: np.ndarray
    vectors: np.ndarray | None = None
    recall: Recall | None = None
    alone: bool = True
    kept: int = ENTRIES

    def of(self, rows: np.ndarray) -> "Heard":
        """What it says of some of them."""
        vectors = None if self.vectors is None else self.vectors[rows]
        return self._replace(
            log_p=self.log_p[rows], confidences=self.confidences[rows], vectors=vectors
        )


class Walked(NamedTuple):
    """
    Attributes:
        labels, confidences: of each cache, `(J, N)` each.
        tops: probability of the label, likewise.
        statistics: of the first cache's samples that had a past, at all thresholds, `(n, …)`.
        agrees: whether its labels of those are the base DNN's, `(n,)`.
    """

    labels: list[np.ndarray]
    confidences: list[np.ndarray]
    tops: list[np.ndarray]
    statistics: np.ndarray
    agrees: np.ndarray


def walk(
    caches: Sequence[Heard],
    answers: np.ndarray,
    streams: np.ndarray,
    at: np.ndarray,
    thresholds: np.ndarray,
    keep_statistics: bool = False,
    known: np.ndarray | None = None,
    run_on: np.ndarray | None = None,
    rest: Callable[[], None] = lambda: None,
) -> Walked:
    """
    Args:
        caches: in execution order.
        answers: the base DNN's labels, `(N,)`.
        streams, at: of which stream each sample is, `(N,)` int64, and when it came, in seconds.
        thresholds: `(J,)`.
        keep_statistics: for the first cache, which has a memory, and to which novelty is no reason
            to be silent.
        known: samples that the base DNN answered whatever caches said, `(N,)` bool: they are only
            remembered. By default none.
        run_on: samples that caches may answer, and that the base DNN is asked about afterwards in
            any case, `(N,)` bool: they are remembered, too. By default none.
        rest: called after every sample.
    """
    count = len(thresholds)
    labels = [np.tile(heard.log_p.argmax(1), (count, 1)) for heard in caches]
    confidences = [
        np.tile(heard.confidences if heard.alone else 0 * heard.confidences, (count, 1))
        for heard in caches
    ]
    tops = [np.tile(np.exp(heard.log_p.max(1)), (count, 1)) for heard in caches]
    statistics, agrees = [], []

    def remember(row: int, memories: Sequence[Memory | None], missed: np.ndarray) -> None:
        for heard, past in zip(caches, memories, strict=True):
            if past is not None and len(missed):
                assert heard.vectors is not None
                past.put(missed, heard.vectors[row], int(answers[row]), float(at[row]))

    for rows in _by_stream(streams, at):
        memories = [
            None if h.vectors is None else memory(count, h.vectors.shape[1], h.kept) for h in caches
        ]
        for row in rows:
            answered = np.zeros(count, bool)
            if known is not None and known[row]:
                remember(row, memories, np.arange(count))
                continue
            for i, (heard, past) in enumerate(zip(caches, memories, strict=True)):
                if past is not None and heard.recall is not None:
                    assert heard.vectors is not None
                    vector = heard.vectors[row]
                    said = heard.recall.recalled(
                        heard.log_p[row], vector, past.near(vector), at[row]
                    )
                    there = said.any
                    if keep_statistics and i == 0:
                        statistics.append(said.statistics[there])
                        agrees.append(said.log_q.argmax(1)[there] == answers[row])
                    if not keep_statistics:
                        there = heard.recall.may_say(said, bool(heard.confidences[row] > 0))
                    if there.any():
                        sure = heard.recall.confidence(said)
                        labels[i][there, row] = said.log_q.argmax(1)[there]
                        tops[i][there, row] = np.exp(said.log_q.max(1))[there]
                        confidences[i][there, row] = sure[there]
                answered |= confidences[i][:, row] >= thresholds
            if run_on is not None and run_on[row]:
                answered[:] = False
            remember(row, memories, np.flatnonzero(~answered))
            rest()
    return Walked(
        labels,
        confidences,
        tops,
        np.concatenate(statistics) if statistics else np.zeros((0, 0)),
        np.concatenate(agrees) if agrees else np.zeros(0, bool),
    )


def _by_stream(streams: np.ndarray, at: np.ndarray) -> list[np.ndarray]:
    """The samples of each stream in the order of their times."""
    order = np.lexsort((at, streams))
    return np.split(order, np.flatnonzero(np.diff(streams[order])) + 1)
