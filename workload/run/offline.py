"""What the caches of a stored version, left as they are, at the threshold of their build, would
have answered to the same pictures in one process.

The base DNN's answers are known beforehand, so that only the slices before the last are computed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache_models.bench.in_process import InProcess
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.stages import BASE, Answer, Message, Reply, Stage
from cache_models.store.version import CacheVersion

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
    plan: dict[str, Any]


def static_labels(
    base: BaseDNN, version: CacheVersion, device: str = "cpu"
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a batch to rows of `COLUMNS`, `(B, 2)`: the index of the exit, and the label
    that the caches of `version` give, or `MISS`.

    Raises:
        ArtifactError: the version was built for another base DNN.
    """
    place = _WithoutEnd(base, version, device)
    names = [*version.plan.cut_points, BASE]

    def labels(images: np.ndarray) -> np.ndarray:
        answers = place.answer(images)
        exits = [names.index(exit) for exit in answers.exits]
        return np.stack([exits, answers.class_ids], axis=1)

    return labels


class _WithoutEnd(InProcess):
    """Where the last partition runs nothing, because its answer is known already."""

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        if not stage.is_last:
            return await super().ask(stage, message, timeout_s)
        rows = len(message.batch)
        return Answer(np.full(rows, MISS), np.zeros((rows, 1)))


def key_of(version: CacheVersion) -> str:
    """What the answers of `static_labels` depend on besides the picture."""
    return hashlib.sha256((version.folder / "manifest.json").read_bytes()).hexdigest()


def static_of(version: CacheVersion, rows: np.ndarray, base: np.ndarray) -> Static:
    """
    Args:
        rows: of `static_labels`.
        base: the base DNN's labels, `(n,)`.
    """
    names = np.array([*version.plan.cut_points, BASE], dtype=object)
    exits, labels = rows.T
    class_ids = np.where(labels == MISS, base, labels)
    return Static(version.number, names[exits], class_ids, version.plan.model_dump(mode="json"))
