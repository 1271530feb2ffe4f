"""What a stream's own past is worth: hits of caches with and without a memory, of reusing the last
answer where little has changed, and of who would know when the answer changes."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cache_models.build.exploration import Trained, explore
from cache_models.build.remembering import walked
from cache_models.build.split import LearningData
from cache_models.cache.asking import ask, heard
from cache_models.cache.closed_loop import Heard
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.recall_training import fit_recall
from cache_models.data.streams import Streams
from cache_models.errors import DataError
from cache_models.promise.promise import PATH

LEVELS = (0.01, 0.02, 0.05)
DISTANCES = np.concatenate([[0.0], np.geomspace(1e-4, 1e3, 200)])
HASH_SIDE = 8
BITS = np.arange(HASH_SIDE**2 // 2 + 1)
Distance = Callable[[np.ndarray, int], np.ndarray]
"""Of some samples `(J,)` to one, `(J,)`."""


def table(
    learning: LearningData,
    given: np.ndarray,
    streams: Streams,
    trained: Sequence[Trained],
    seed: int = 0,
) -> str:
    """In Markdown: of the samples that calibrate, the share of hits at the loosest threshold in
    hindsight at which no more than a level of all answers differ, everything in closed loop.

    Args:
        given: the samples as they came, `(N, h, w, C)` uint8 or `(N, *input_shape)` float32.

    Raises:
        DataError: the streams have too little of a past to learn from.
    """
    recording, show = learning.recording, learning.calibrate
    answers = recording.answers[show]
    of_show = Streams(streams.keys[show], streams.at[show])
    head = "".join(f" at {level:.0%} |" for level in LEVELS)
    lines = [f"| hits |{head}", "| --- " * (len(LEVELS) + 1) + "|"]
    if given.dtype == np.uint8:
        hashes = difference_hash(given[show])
        digests = np.array([hash(one.tobytes()) for one in given[show]])
        contenders: dict[str, Distance] = {
            "exactly": lambda last, row: 64 * (digests[last] != digests[row]),
            "by perceptual hash": lambda last, row: (hashes[last] != hashes[row]).sum(1),
        }
        lines += [
            _line(f"last answer, {how}", *reused(distance, BITS, of_show, answers))
            for how, distance in contenders.items()
        ]
    for name, features in recording.features.items():
        here = [t.cache for t in trained if t.cut_point == name]
        if not here:
            continue
        cache = copy.deepcopy(most_agreeing(here, learning, features))
        where = streams.keys, streams.at, learning.train, learning.select, seed
        cache.recall = fit_recall(cache, features, recording.answers, *where)
        if cache.recall is None:
            raise DataError("streams are too short to learn anything from their past")
        said = heard(cache, features, show)
        alone = said.confidences >= PATH[:, None]
        differs = said.log_p.argmax(1) != answers
        lines.append(_line(f"{name}: {cache.variant.name}", alone, alone & differs))
        lines.append(
            _line(
                f"{name}: last answer, by distance",
                *reused(_squares(said), DISTANCES, of_show, answers),
            )
        )
        past = walked([said], recording.answers, streams, show)
        hits = past.confidences[0] >= PATH[:, None]
        lines.append(_line(f"{name}: with a memory", hits, hits & (past.labels[0] != answers)))
    stays = same_as_last(of_show, answers).mean()
    known = " |".join([f" {stays:.1%}"] * len(LEVELS))
    lines.append(f"| who knows when the answer changes |{known} |")
    return "\n".join(lines)


def learned(learning: LearningData, variants: Sequence[str] | None, folder: Path) -> list[Trained]:
    """Caches without a memory at the recorded cut points."""
    parts = learning.train, learning.select
    return explore(learning.recording, *parts, folder / "caches", only=variants)


def same_as_last(streams: Streams, answers: np.ndarray) -> np.ndarray:
    """Whether each answer is that to the sample before it on its stream, `(N,)` bool."""
    order = np.lexsort((streams.at, streams.keys))
    same = np.zeros(len(answers), bool)
    follows = np.append(False, np.diff(streams.keys[order]) == 0)
    same[order] = follows & np.append(False, np.diff(answers[order]) == 0)
    return same


def most_agreeing(
    caches: Sequence[LearnedCache], learning: LearningData, features: np.ndarray
) -> LearnedCache:
    """Of caches at one cut point, that whose predictor agrees most with the base DNN."""
    answers = learning.recording.answers[learning.select]
    return max(caches, key=lambda c: (ask(c, features, learning.select)[0] == answers).mean())


def difference_hash(pictures: np.ndarray) -> np.ndarray:
    """Whether each of 8x8 places is brighter than the one to its left (dHash: Krawetz 2013), which
    saving a picture anew hardly changes, `(N, 64)` bool.

    Args:
        pictures: `(N, h, w, C)` uint8.
    """
    grey = pictures.mean(3).astype(np.uint8)
    size = HASH_SIDE + 1, HASH_SIDE
    small = [Image.fromarray(one).resize(size, Image.Resampling.BOX) for one in grey]
    return np.stack([np.diff(np.asarray(one, int), axis=1) > 0 for one in small]).reshape(
        len(pictures), -1
    )


def _squares(said: Heard) -> Distance:
    """Squared distances in the space that the memory has learned."""
    vectors = said.vectors
    assert vectors is not None
    return lambda last, row: np.square(vectors[last] - vectors[row]).sum(1)


def reused(
    distance: Distance,
    limits: np.ndarray,
    streams: Streams,
    answers: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """A difference detector with a fixed threshold (NoScope: Kang et al. 2017): the stream's last
    known answer, where the sample is near enough. Hits and mistakes at each of J limits, `(J, N)`
    bool.
    """
    hits = np.zeros((len(limits), len(answers)), bool)
    wrong = np.zeros_like(hits)
    order = np.lexsort((streams.at, streams.keys))
    last = np.full(len(limits), -1)
    for place, row in enumerate(order):
        if place and streams.keys[row] != streams.keys[order[place - 1]]:
            last[:] = -1
        hit = (last >= 0) & (distance(last, row) <= limits)
        hits[:, row], wrong[:, row] = hit, hit & (answers[last] != answers[row])
        last[~hit] = row
    return hits, wrong


def _line(name: str, hits: np.ndarray, wrong: np.ndarray) -> str:
    """
    Args:
        hits, wrong: at each threshold, `(J, N)` bool.
    """
    shares, mistakes = hits.mean(1), wrong.mean(1)
    best = (f" {shares[mistakes <= level].max(initial=0):.1%} |" for level in LEVELS)
    return f"| {name} |{''.join(best)}"
