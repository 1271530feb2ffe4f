"""What would have been answered to the same pictures in one process, without a server: by the base
DNN, and by the caches of a stored version as they are, without class prior and retraining.

One pass of the base DNN's slices gives both. They run in the module's own memory layout, so that
their end is the unmodified module's answer, which is the truth.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from cache_models.base_dnn import BaseDNN
from cache_models.cutting import cut
from cache_models.features import extract
from cache_models.promise import cascade
from cache_models.recording import as_tensor
from cache_models.store import CacheVersion

COLUMNS = ("base", "exit", "label")


@dataclass(frozen=True)
class Static:
    """What unchanging caches would have answered.

    Attributes:
        version: of the caches.
        exits: by name, `(n,)`.
        class_ids: `(n,)`.
        plan: as JSON.
    """

    version: int
    exits: np.ndarray
    class_ids: np.ndarray
    plan: dict


def base_labels(base: BaseDNN, device: str = "cpu") -> Callable[[np.ndarray], np.ndarray]:
    """A function from `(B, h, w, C)` uint8 or float32 inputs to the base DNN's labels `(B,)`."""
    module = base.module.to(device)

    def labels(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            scores = module(base.inputs(as_tensor(images).to(device)))
        return scores.argmax(1).cpu().numpy()

    return labels


def static_labels(
    base: BaseDNN, version: CacheVersion, device: str = "cpu"
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a batch to rows of `COLUMNS`: the base DNN's label, and the index of the exit
    and the label of the cascade of `version`; `(B, 3)`.

    Raises:
        ArtifactError: the version was built for another base DNN.
    """
    plan = version.plan
    plan.check_base(base)
    slices = [module.to(device) for module in cut(base).slices(plan.cut_points)]
    caches = [version.load(i).to(device) for i in range(len(plan.caches))]
    threshold = plan.promise.threshold

    def labels(images: np.ndarray) -> np.ndarray:
        predictions, confidences = [], []
        with torch.inference_mode():
            activation = base.inputs(as_tensor(images).to(device))
            for module, cache in zip(slices, caches, strict=False):
                activation = module(activation)
                probabilities, confidence = cache(extract(activation))
                predictions.append(probabilities.argmax(1).cpu().numpy())
                confidences.append(confidence.cpu().numpy())
            truth = slices[-1](activation).argmax(1).cpu().numpy()
        if not caches or threshold is None:
            return np.stack([truth, np.full_like(truth, len(caches)), truth], axis=1)
        exits, hits = cascade(predictions, confidences, threshold)
        return np.stack([truth, exits, np.where(hits < 0, truth, hits)], axis=1)

    return labels


def key_of(version: CacheVersion) -> str:
    """What the answers of `static_labels` depend on besides the picture."""
    return hashlib.sha256((version.folder / "manifest.json").read_bytes()).hexdigest()


def static_of(version: CacheVersion, rows: np.ndarray) -> Static:
    """
    Args:
        rows: of `static_labels`.
    """
    names = np.array([*version.plan.cut_points, "base"], dtype=object)
    return Static(
        version.number, names[rows[:, 1]], rows[:, 2], version.plan.model_dump(mode="json")
    )
