"""What a partition computes, wherever it runs: a slice of the base DNN, from batch to reply."""

from typing import Self

import numpy as np

from cache_models.network.activation import Precision, pack, unpack
from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import Engine
from cache_models.network.stages import Activation, Answer, Stage


class Slice:
    """
    Args:
        stage: the partition.
        engine: of its slice, as `network.partition_module` describes what it takes and returns.
        precision: of the activations that it takes and hands on.
        packed: whether the engine takes and returns activations as they travel.
    """

    def __init__(
        self,
        stage: Stage,
        description: ModelDescription,
        engine: Engine,
        precision: Precision = "float32",
        packed: bool = False,
    ):
        self._stage, self._description = stage, description
        self._engine, self._precision, self._packed = engine, precision, packed

    def __call__(self, batch: np.ndarray, resized: bool = False) -> Activation | Answer:
        """Arguments as of `Run`."""
        first, second = self._engine(self._inputs(batch, resized))
        if self._stage.is_last:
            return Answer(first, second)
        return Activation(first, second if self._packed else pack(second, self._precision))

    def in_background(self) -> Self:
        """The same, for another thread: as of `Engine`."""
        engine = self._engine.in_background()
        return type(self)(self._stage, self._description, engine, self._precision, self._packed)

    def _inputs(self, batch: np.ndarray, resized: bool) -> np.ndarray:
        if self._stage.at_input:
            return self._description.inputs(batch, resized)
        return batch if self._packed else unpack(batch)

    def zeros(self, rows: int) -> np.ndarray:
        """Something to run, of the shape and form that requests have."""
        assert self._stage.takes is not None
        zeros = np.zeros((rows, *self._stage.takes), np.float32)
        return zeros if self._stage.at_input else pack(zeros, self._precision)
