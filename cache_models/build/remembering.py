"""Learned caches with memories of streams, from those without, where samples are of streams."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from cache_models.build.measurement import Explored
from cache_models.build.pricing import Outcome
from cache_models.cache.asking import heard
from cache_models.cache.closed_loop import Heard, Walked, walk
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.recall import ENTRIES, memory
from cache_models.cache.recall_training import fit_recall
from cache_models.cache.stream_memory import bytes_each
from cache_models.data.recording import Recording
from cache_models.data.samples import Samples
from cache_models.data.streams import Streams
from cache_models.network.cost import median_ms
from cache_models.promise.path import index_of
from cache_models.promise.promise import PATH, Limits, calibrate
from cache_models.store.plan import MemoryRecord

MEMORY = "memory"
"""After a variant's name, in the table of an exploration."""


def with_memories(
    explored: Sequence[Explored],
    recording: Recording,
    streams: Streams,
    train: np.ndarray,
    select: np.ndarray,
    limits: Limits,
    kept: int = ENTRIES,
    seed: int = 0,
) -> list[Explored]:
    """At every candidate the cache whose predictor agrees most, with a memory of `kept` entries a
    stream; none where streams have too little of a past to learn from."""
    best: dict[str, Explored] = {}
    for e in explored:
        known = best.get(e.record.cut_point)
        if known is None or e.record.agreement > known.record.agreement:
            best[e.record.cut_point] = e
    made = (
        _with_memory(e, recording, streams, train, select, limits, kept, seed)
        for e in tqdm(best.values(), desc="remember", unit="cache")
    )
    return [e for e in made if e is not None]


def as_one_stream(samples: Samples) -> Samples:
    """All of one stream, in the order of their times, or else as they were given."""
    count = len(samples.images) - samples.train_only
    at = np.arange(count, dtype=float) if samples.streams is None else samples.streams.at[:count]
    one = Streams(np.zeros(count, np.int64), at)
    return replace(samples, streams=one.and_others(samples.train_only))


def walked(
    caches: Sequence[Heard],
    answers: np.ndarray,
    streams: Streams,
    rows: np.ndarray,
    known: np.ndarray | None = None,
) -> Walked:
    """What the caches say, at every threshold of `PATH`, of the samples `rows` in a row; `known` of
    them are only remembered."""
    return walk(caches, answers[rows], streams.keys[rows], streams.at[rows], PATH, known=known)


def with_what_came_before(
    rows: np.ndarray, streams: Streams, kept: int
) -> tuple[np.ndarray, np.ndarray]:
    """Samples `rows`, and which of them are only remembered.

    A large memory is seldom empty, so those before `rows` are in it. So it is priced; it is tested
    from an empty one on, where more is new.
    """
    if kept <= ENTRIES:
        return rows, np.zeros(len(rows), bool)
    before = np.flatnonzero((streams.keys >= 0) & (streams.at < streams.at[rows].min()))
    return np.append(before, rows), np.repeat([True, False], [len(before), len(rows)])


def answers_alone(chosen: Sequence[Explored], place: int) -> bool:
    """Whether a set keeps the promise on the selection samples without its memories, too, at the
    place of `PATH` where it was weighed with them."""
    return all(e.alone_place is not None and e.alone_place >= place for e in chosen)


def memory_record(cache: LearnedCache, alone: bool, kept: int) -> MemoryRecord | None:
    """For a plan; `alone` and `kept` as there. None of a cache without a memory."""
    if cache.recall is None:
        return None
    size = bytes_each(cache.recall.projection.shape[1], kept)
    return MemoryRecord(stream_bytes=size, alone=alone, kept=kept)


def _with_memory(
    static: Explored,
    recording: Recording,
    streams: Streams,
    train: np.ndarray,
    select: np.ndarray,
    limits: Limits,
    kept: int,
    seed: int,
) -> Explored | None:
    features = recording.features[static.record.cut_point]
    answers, classes = recording.answers, recording.probabilities.shape[1]
    cache = copy.deepcopy(static.cache)
    where = streams.keys, streams.at
    cache.recall = fit_recall(cache, features, answers, *where, train, select, seed, kept)
    if cache.recall is None:
        return None
    cache.recall.stake.copy_(cache.selector.stake)
    shown, known = with_what_came_before(select, streams, kept)
    said = walked([heard(cache, features, shown, kept=kept)], answers, streams, shown, known)
    labels, confidences = said.labels[0][:, ~known], said.confidences[0][:, ~known]
    alone = calibrate([labels], [confidences], answers[select], classes, limits)
    place = None if alone.threshold is None else index_of(alone.threshold)
    recall_ms = _recall_ms(cache, classes, kept)
    remembered = memory_record(cache, True, kept)
    assert remembered is not None, "it has a memory"
    size = static.outcome.memory_bytes + remembered.most_bytes
    record = static.record.model_copy(
        update={
            "variant": f"{static.record.variant}+{MEMORY}",
            "hit_rate": 0.0 if place is None else float((confidences[place] >= PATH[place]).mean()),
            "lookup_ms_batch_1": static.record.lookup_ms_batch_1 + recall_ms,
            "lookup_ms_batch_8": static.record.lookup_ms_batch_8 + recall_ms,
            "memory_bytes": size,
        }
    )
    outcome = Outcome(
        static.outcome.cut_point,
        labels,
        confidences,
        record.lookup_ms_batch_1,
        static.outcome.feature_bytes,
        size,
    )
    return Explored(cache, outcome, record, static.alone_place)


def _recall_ms(cache: LearnedCache, classes: int, kept: int) -> float:
    assert cache.recall is not None
    recall, directions = cache.recall.recall(), cache.recall.projection.shape[1]
    full, first = memory(1, directions, kept), np.zeros(1, int)
    for vector in np.random.default_rng(0).standard_normal((kept, directions)):
        full.put(first, vector, 0, 0.0)
    log_p, vector = np.full(classes, -np.log(classes)), np.zeros(directions, np.float32)

    def once() -> np.ndarray:
        return recall.confidence(recall.recalled(log_p, vector, full.near(vector), 1.0))

    return median_ms(once)
