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

from cache_models.bench.in_process import InProcess
from cache_models.cascade import Cascade, Control, run_now
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.preprocessing import as_tensor
from cache_models.network.stages import BASE, Answer, Message, Reply, Stage
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
    plan, known = version.plan, _WithoutEnd(InProcess(base, version, device))
    names = [*plan.cut_points, BASE]
    control = Control(version.number, on=plan.promise.threshold is not None)
    cascade = Cascade(plan.stages(), len(plan.description.classes), known, control)

    def labels(images: np.ndarray) -> np.ndarray:
        answers = run_now(cascade.answer(images))
        exits = [names.index(exit) for exit in answers.exits]
        return np.stack([exits, answers.class_ids], axis=1)

    return labels


class _WithoutEnd:
    """A place where the last partition runs nothing, because its answer is known already."""

    def __init__(self, place: InProcess):
        self._place = place

    async def ask(self, stage: Stage, message: Message, timeout_s: float | None = None) -> Reply:
        if not stage.is_last:
            return await self._place.ask(stage, message, timeout_s)
        return Answer(np.full(len(message.batch), MISS), np.zeros((len(message.batch), 1)))


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
