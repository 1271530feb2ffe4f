"""What would have been answered to the same pictures in one process, without a server: by the base
DNN, and by the caches of a stored version as they are, without class prior and retraining.

The base DNN's answers are the unmodified module's, which are the truth; to know them is enough for
other caches, too, of which only the slices before the last are then computed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from cache_models.data.recording import as_tensor
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.features import extract
from cache_models.promise.promise import cascade
from cache_models.store.versions import CacheVersion

COLUMNS = ("exit", "label")
MISS = -1
"""For a label."""


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
    """A function from a batch to rows of `COLUMNS`, `(B, 2)`: the index of the exit, and the label
    that the caches of `version` give, or `MISS`.

    Raises:
        ArtifactError: the version was built for another base DNN.
    """
    plan = version.plan
    plan.check_base(base)
    slices = [module.to(device) for module in cut(base).slices(plan.cut_points)[:-1]]
    caches = [version.load(i).to(device) for i in range(len(plan.caches))]
    threshold = plan.promise.threshold

    def labels(images: np.ndarray) -> np.ndarray:
        if not caches or threshold is None:
            return np.tile([len(caches), MISS], (len(images), 1))
        predictions, confidences = [], []
        with torch.inference_mode():
            activation = base.inputs(as_tensor(images).to(device))
            for module, cache in zip(slices, caches, strict=True):
                activation = module(activation)
                probabilities, confidence = cache(extract(activation))
                predictions.append(probabilities.argmax(1).cpu().numpy())
                confidences.append(confidence.cpu().numpy())
        return np.stack(cascade(predictions, confidences, threshold), axis=1)

    return labels


def key_of(version: CacheVersion) -> str:
    """What the answers of `static_labels` depend on besides the picture."""
    return hashlib.sha256((version.folder / "manifest.json").read_bytes()).hexdigest()


def static_of(version: CacheVersion, rows: np.ndarray, base: np.ndarray) -> Static:
    """
    Args:
        rows: of `static_labels`.
        base: the base DNN's labels, `(n,)`.
    """
    names = np.array([*version.plan.cut_points, "base"], dtype=object)
    exits, labels = rows.T
    class_ids = np.where(labels == MISS, base, labels)
    return Static(version.number, names[exits], class_ids, version.plan.model_dump(mode="json"))
