"""Evaluate a cache version on samples that tuned nothing: the whole cascade in one process.

What serving adds (HTTP, hops between deployments) is left out, so this is the bound that serving
can come near to, and the check of what the plan expects.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cache_models.build.composition import compute_ms_by_exit
from cache_models.cache.fast_cache import FastCache, InputFeatures
from cache_models.data.recording import as_tensor
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.store.versions import CacheVersion

WARM_UP = 20


class Cascade:
    """The slices and caches of a version, run one after the other.

    Raises:
        ArtifactError: the version was built for another base DNN.
    """

    def __init__(self, base: BaseDNN, version: CacheVersion, device: str = "cpu"):
        plan = version.plan
        plan.check_base(base)
        self.exits = [*plan.cut_points, "base"]
        self._description, self._device = base.description, device
        self._asks_first = plan.asks_first
        self._input_features = InputFeatures(base.description, device)
        self._threshold = plan.promise.threshold
        self._slices = cut(base).fast_slices(plan.cut_points, device)
        self._caches = [FastCache(version.load(i), device) for i in range(len(plan.caches))]

    @torch.inference_mode()
    def answer(self, images: Tensor, use_caches: bool = True) -> tuple[int, int]:
        """The label of one decoded image `(1, C, h, w)` uint8, or input `(1, *input_shape)`, and
        the index of its exit."""
        activation = images.to(self._device)
        for i, module in enumerate(self._slices):
            if i == 0 and self._asks_first:
                features = self._input_features(activation) if use_caches else None
            else:
                if i == int(self._asks_first):
                    activation = channels_last(self._description.inputs(activation))
                activation = module(activation)
                if i == len(self._caches):
                    break
                features = extract(activation) if use_caches else None
            if features is not None:
                probabilities, confidence = self._caches[i](features)
                if confidence[0] >= self._threshold:
                    return int(probabilities[0].argmax()), i
        return activation.argmax(1).item(), len(self._caches)


def base_answers(
    base: BaseDNN, images: np.ndarray, device: str = "cpu", batch: int = 50
) -> np.ndarray:
    """The unmodified float32 module's labels `(N,)`, which are the truth.

    Args:
        images: `(N, h, w, C)` uint8 or `(N, *input_shape)` float32.
    """
    labels = []
    module = base.module.to(device)
    with torch.inference_mode():
        for start in tqdm(range(0, len(images), batch), desc="base DNN", unit="batch"):
            inputs = base.inputs(as_tensor(images[start : start + batch]).to(device))
            labels.append(module(inputs).argmax(1).cpu().numpy())
    return np.concatenate(labels)


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
) -> Evaluation:
    """Answer every image with the cascade; every `base_every`-th also without caches, in turn."""
    plan = version.plan
    cascade = Cascade(base, version, device)
    answers = base_answers(base, images, device)

    labels, exits, cascade_s, base_s = [], [], [], []
    for i in range(WARM_UP):
        cascade.answer(as_tensor(images[:1]), use_caches=i % 2 == 0)
    for i, image in enumerate(tqdm(images, desc="cascade", unit="image")):
        inputs = as_tensor(image[None])
        start = time.perf_counter()
        label, exit = cascade.answer(inputs)
        cascade_s.append(time.perf_counter() - start)
        labels.append(label)
        exits.append(exit)
        if i % base_every == 0:
            start = time.perf_counter()
            cascade.answer(inputs, use_caches=False)
            base_s.append(time.perf_counter() - start)

    shares = {point.name: point.compute_share for point in plan.candidates}
    expected_ms = compute_ms_by_exit(
        [shares[name] for name in plan.cut_points],
        [cache.lookup_ms for cache in plan.caches],
        plan.expected.base_compute_ms,
    )
    wrong = np.array(labels) != answers
    taken = Counter(exits)
    return Evaluation(
        samples=len(images),
        disagreements=int(wrong.sum()),
        disagreement_by_class=disagreement_by_class(wrong, answers, plan.description.classes),
        exits={name: taken[i] / len(images) for i, name in enumerate(cascade.exits)},
        cascade_ms=float(np.mean(cascade_s) * 1e3),
        base_ms=float(np.mean(base_s) * 1e3),
        expected_ms=float(expected_ms[exits].mean()),
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
