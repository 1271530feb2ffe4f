"""Evaluate a cache version on samples that tuned nothing: the whole cascade in one process.

What serving adds (HTTP, hops between deployments) is left out, so this is the bound that serving
can come near to, and the check of what the plan expects.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from cache_models.bench.in_process import InProcess
from cache_models.build.pricing import compute_ms_by_exit
from cache_models.data.streams import Streams
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.stages import BASE
from cache_models.network.truth import Truth
from cache_models.store.version import CacheVersion

WARM_UP = 20


def base_answers(
    base: BaseDNN, images: np.ndarray, device: str = "cpu", batch: int = 50
) -> np.ndarray:
    """The unmodified float32 module's labels `(N,)`, which are the truth.

    Args:
        images: `(N, h, w, C)` uint8 or `(N, *input_shape)` float32.
    """
    truth, starts = Truth(base, device), range(0, len(images), batch)
    bar = tqdm(starts, desc="base DNN", unit="batch", disable=len(starts) < 2)
    return np.concatenate([truth(images[start : start + batch]) for start in bar])


@dataclass(frozen=True)
class Evaluation:
    """What N samples met; milliseconds are measured at batch 1, preprocessing included."""

    samples: int
    disagreements: int
    disagreement_by_class: dict[str, float]
    exits: dict[str, float]
    cascade_ms: float
    base_ms: float
    expected_ms: float
    """What the plan's measured costs say of these samples' exits."""


def evaluate(
    base: BaseDNN,
    version: CacheVersion,
    images: np.ndarray,
    device: str = "cpu",
    base_every: int = 5,
    streams: Streams | None = None,
) -> Evaluation:
    """Answer every image with the cascade; every `base_every`-th also without caches, in turn.

    Args:
        streams: of which the images are, and when they came; then they are asked in that
            order, and caches with a memory remember them. Where the plan shares one memory, all
            are of one, and come as they are given.
    """
    plan = version.plan
    if plan.shares:
        streams = streams or Streams(np.zeros(len(images), np.int64), np.arange(len(images)) + 1.0)
        streams = streams._replace(keys=np.zeros_like(streams.keys))
    place = InProcess(base, version, device)
    answers = base_answers(base, images, device)

    labels, exits, cascade_s, base_s = [], [], [], []
    for i in range(WARM_UP):
        place.answer(images[:1], use_caches=i % 2 == 0)
    of_streams = [("", 0.0)] * len(images)
    if streams is not None:
        order = np.argsort(streams.at, kind="stable")
        images, answers = images[order], answers[order]
        of_streams = [(str(streams.keys[i]), float(streams.at[i])) for i in order]
    for i, image in enumerate(tqdm(images, desc="cascade", unit="image")):
        stream, at = of_streams[i]
        start = time.perf_counter()
        given = place.answer(image[None], stream=stream, at=at)
        cascade_s.append(time.perf_counter() - start)
        labels.append(given.class_ids[0])
        exits.append(given.exits[0])
        if i % base_every == 0:
            start = time.perf_counter()
            place.answer(image[None], use_caches=False)
            base_s.append(time.perf_counter() - start)

    shares = {point.name: point.compute_share for point in plan.candidates}
    expected_ms = compute_ms_by_exit(
        [shares[name] for name in plan.cut_points],
        [cache.lookup_ms for cache in plan.caches],
        plan.expected.base_compute_ms,
    )
    names = [*plan.cut_points, BASE]
    wrong = np.array(labels) != answers
    taken = Counter(exits)
    return Evaluation(
        samples=len(images),
        disagreements=int(wrong.sum()),
        disagreement_by_class=disagreement_by_class(wrong, answers, plan.description.classes),
        exits={name: taken[name] / len(images) for name in names},
        cascade_ms=float(np.mean(cascade_s) * 1e3),
        base_ms=float(np.mean(base_s) * 1e3),
        expected_ms=float(expected_ms[[names.index(exit) for exit in exits]].mean()),
    )


def disagreement_by_class(
    wrong: np.ndarray, answers: np.ndarray, classes: Sequence[str]
) -> dict[str, float]:
    """Share of wrong answers among the samples of each class that has any.

    Args:
        wrong: `(N,)` bool.
        answers: the base DNN's labels, `(N,)`.
    """
    counts = np.bincount(answers, minlength=len(classes))
    wrong_counts = np.bincount(answers[wrong], minlength=len(classes))
    return {c: float(w / n) for c, w, n in zip(classes, wrong_counts, counts, strict=True) if n}
