"""The plain model cascade as it is served: a small CNN, and where it is not sure the whole base
DNN, in one place. `front` makes the CNN."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from cache_models.errors import DataError
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.preprocessing import Preprocessing
from cache_models.promise.promise import Promise
from cache_models.store.checksums import sha256
from workload.compare.systems.whole import Whole, decode, reply

WIDTH = 32
EXIT = f"CNN-{WIDTH}"
GRAPH, CARD = "front.onnx", "card.json"
THREADS = 1
"""As a lookup has: a second one would take longer to wake than it saves."""


class Card(BaseModel):
    """What must be known of a CNN to serve it.

    Attributes:
        size: height and width of the pictures that it takes.
        checksum: SHA-256 of its graph.
    """

    size: tuple[int, int]
    checksum: str
    promise: Promise


def read(folder: Path) -> Card | None:
    """What is in `folder`; None if it is not whole."""
    try:
        card = Card.model_validate_json((folder / CARD).read_text())
        return card if sha256(folder / GRAPH) == card.checksum else None
    except (OSError, ValidationError):
        return None


class Cascade(Whole):
    """
    Args:
        front: the folder of the CNN; other arguments as of `Whole`.

    Raises:
        DataError: there is none in it.
    """

    def __init__(self, store: Path, device: str, threads: int, front: Path):
        super().__init__(store, device, threads)
        card = read(front)
        if card is None:
            raise DataError(f"{front} holds no CNN that can be read")
        assert card.promise.threshold is not None, "only what keeps a promise is kept"
        self._threshold = card.promise.threshold
        self._size = Preprocessing(card.size)
        self._front = OnnxRuntime(front / GRAPH, THREADS)

    def answer(self, body: bytes, stream: str = "") -> dict[str, Any]:
        image = decode(body, self.description)
        planes = self._size.resize(image).transpose(0, 3, 1, 2)
        probabilities, confidence = self._front(planes.astype(np.float32))
        if confidence[0] >= self._threshold:
            return reply(self.description, int(probabilities.argmax()), probabilities, EXIT)
        return self.about(image)
