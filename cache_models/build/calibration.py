"""The promise of a chosen set of caches, on samples that nothing else has seen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cache_models.build.measurement import Explored
from cache_models.build.remembering import walked
from cache_models.cache.asking import ask, heard
from cache_models.cache.recall import ENTRIES
from cache_models.data.recording import Recording
from cache_models.data.streams import Streams
from cache_models.errors import DataError
from cache_models.network.engine.interface import DType
from cache_models.promise.path import index_of
from cache_models.promise.promise import Limits, Promise, calibrate, most_disagreements


class Tested(NamedTuple):
    """
    Attributes:
        promise: that the set has passed.
        labels, confidences, tops: what each cache says at its threshold, and the label's own
            probability, `(n,)` each, of the samples that it was tested on.
    """

    promise: Promise
    labels: Sequence[np.ndarray]
    confidences: Sequence[np.ndarray]
    tops: Sequence[np.ndarray]


def tested(
    chosen: Sequence[Explored],
    recording: Recording,
    streams: Streams | None,
    samples: np.ndarray,
    apart: np.ndarray,
    alone: bool,
    limits: Limits,
    kept: int = ENTRIES,
) -> Tested:
    """
    Args:
        samples: indices of those that calibrate, in a row where they are of streams.
        apart: of those that know nothing of each other, on which it is tested.
        alone: whether caches with a memory answer without entries, too. Then the set must pass
            with and without: the stricter threshold of both tests passes both.
        kept: entries of a stream in a memory.
    """
    given = None if recording.given is None else recording.given[apart]
    at = [recording.features[e.record.cut_point] for e in chosen]
    answers, classes = recording.answers, recording.probabilities.shape[1]
    said = [ask(e.cache, of, apart) for e, of in zip(chosen, at, strict=True)]
    labels, confidences, tops = ([of_cache[i] for of_cache in said] for i in range(3))
    promise = calibrate(labels, confidences, answers[apart], classes, limits, given=given)
    if streams is None or all(e.cache.recall is None for e in chosen):
        return Tested(promise, labels, confidences, tops)
    parts = [heard(e.cache, of, samples, alone, kept) for e, of in zip(chosen, at, strict=True)]
    past = walked(parts, answers, streams, samples)
    places = np.searchsorted(samples, apart)
    labels = [part[:, places] for part in past.labels]
    confidences = [part[:, places] for part in past.confidences]
    with_past = calibrate(labels, confidences, answers[apart], classes, limits, given=given)
    if not alone or _is_looser(promise, with_past):
        promise = with_past
    place = 0 if promise.threshold is None else index_of(promise.threshold)
    return Tested(
        promise,
        [part[place] for part in labels],
        [part[place] for part in confidences],
        [part[place, places] for part in past.tops],
    )


def check_dtype(recording: Recording, samples: np.ndarray, limits: Limits, dtype: DType) -> None:
    """
    Args:
        samples: indices of those that calibrate.

    Raises:
        DataError: partitions that compute in `dtype` break the promise without any cache.
    """
    if recording.given is None:
        return
    flips = recording.given[samples] != recording.answers[samples]
    most = most_disagreements(len(flips), limits.max_disagreement, 1 - limits.confidence)
    if flips.sum() > most:
        raise DataError(
            f"computing in {dtype} changes {int(flips.sum())} of {len(flips)} of the base DNN's "
            f"answers, more than {limits.max_disagreement:.2%} with {limits.confidence:.0%} "
            f"confidence allow: build with --dtype float32, or raise --max-disagreement."
        )


def _is_looser(promise: Promise, other: Promise) -> bool:
    """Than the other."""
    if promise.threshold is None:
        return False
    return other.threshold is None or promise.threshold < other.threshold
