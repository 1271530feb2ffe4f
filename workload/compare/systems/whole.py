"""The whole base DNN behind one function, as every system without late binding serves it: a store
without caches has one partition, whose graph is the whole module's. Its servers need no PyTorch."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import Engine
from cache_models.network.pixels import open_picture, pixels
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform
from cache_models.store.graphs import partition_engine
from cache_models.store.plan import Plan
from cache_models.store.versions import Store

WARM_UP = 5


def whole_engine(store: Path, device: str, threads: int) -> Engine:
    """The engine of the whole base DNN, chosen as this project's own partitions choose theirs.

    Raises:
        CacheModelsError: `store` is not one of `stores.without_caches`, or its graph cannot be run.
    """
    plan = Store(store).current().plan
    (stage,) = plan.stages()
    return partition_engine(store, plan, stage, "auto", threads, device)


def decode(body: bytes, description: ModelDescription) -> np.ndarray:
    """A picture as `(1, h, w, 1 or 3)` uint8; a sound or a text as `(1, *input_shape)` float32."""
    match description.reader:
        case Waveform() as sounds:
            return sounds.read(body)[None]
        case Tokens() as texts:
            return texts.read(json.loads(body)["text"])[None]
    preprocessing = description.preprocessing
    assert preprocessing is not None, "tensors are not sent to systems that are compared"
    picture = open_picture(body)
    return pixels(picture, len(preprocessing.mean), preprocessing.background)[None]


def reply(
    description: ModelDescription, class_id: int, probabilities: np.ndarray, exit: str
) -> dict[str, Any]:
    """The JSON of one answer, its main fields as those of this project's own.

    Args:
        probabilities: `(1, K)`.
    """
    return {
        "label": description.classes[class_id],
        "class_id": class_id,
        "probability": float(probabilities[0, class_id]),
        "exit": exit,
    }


class Whole:
    """A body in, an answer out; made and asked in one thread, as engines want it.

    Args:
        store: without caches, as `stores.without_caches` makes it.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: within one operation.
        eager: run the module as it is, in PyTorch, rather than in the engine in which all others
            run it.
    """

    def __init__(self, store: Path, device: str, threads: int, eager: bool = False):
        plan = Store(store).current().plan
        self.description = plan.description
        self._engine = (
            _as_it_is(plan, device, threads) if eager else whole_engine(store, device, threads)
        )
        zeros = np.zeros((1, *self.description.input_shape), np.float32)
        for _ in range(WARM_UP):
            self._engine(zeros)

    def answer(self, body: bytes, stream: str = "") -> dict[str, Any]:
        """
        Args:
            stream: that the request names; empty for none.
        """
        return self.about(decode(body, self.description))

    def about(self, image: np.ndarray) -> dict[str, Any]:
        """The answer to a decoded picture `(1, h, w, 1 or C)` uint8, or a ready input."""
        class_ids, probabilities = self._engine(self.description.inputs(image))
        return reply(self.description, int(class_ids[0]), probabilities, "base")


def _as_it_is(plan: Plan, device: str, threads: int) -> Engine:
    from cache_models.network.base_dnn import load
    from cache_models.network.engine.pytorch import PyTorch
    from cache_models.network.partition_module import Last

    base = load(plan.model)
    return PyTorch(Last(base.module, base.description).eval(), threads, device)
