"""An earlier answer given once more, or the whole base DNN, in one deployment."""

from pathlib import Path
from typing import Any

import numpy as np

from cache_models.bench.reuse import Earlier, Kind
from workload.compare.systems.whole import Whole, decode, reply


class Reuse(Whole):
    """
    Args:
        kind, limit: as of `Earlier`; other arguments as of `Whole`.
    """

    def __init__(self, store: Path, device: str, threads: int, kind: Kind, limit: float):
        super().__init__(store, device, threads)
        self._earlier = Earlier(kind, limit)
        self._exit = kind

    def answer(self, body: bytes, stream: str = "") -> dict[str, Any]:
        given = decode(body, self.description)

        def compute() -> tuple[int, np.ndarray]:
            class_ids, probabilities = self._engine(self.description.inputs(given))
            return int(class_ids[0]), probabilities

        (class_id, probabilities), hit = self._earlier.answer(given[0], stream, compute)
        return reply(self.description, class_id, probabilities, self._exit if hit else "base")
