"""What a partition computes, wherever it runs: a slice of the base DNN, from batch to reply."""

import numpy as np
import torch
from torch import Tensor, nn

from cache_models.network.activation import pack, unpack
from cache_models.network.description import ModelDescription
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.network.preprocessing import as_tensor
from cache_models.network.stages import Activation, Answer, Stage


class Slice:
    """
    Args:
        stage: the partition.
        module: its slice, in the form in which it is to run, on `device`.
        dtype: of the activations that it takes and hands on; None for tensors as they are, where
            the next slice is in the same process.
    """

    def __init__(
        self,
        stage: Stage,
        description: ModelDescription,
        module: nn.Module,
        device: torch.device,
        dtype: torch.dtype | None = None,
    ):
        self._stage, self._description, self._module = stage, description, module
        self._device, self._dtype = device, dtype

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray, resized: bool = False) -> Activation | Answer:
        """Arguments as of `Run`."""
        out = self._module(channels_last(self._inputs(batch, resized)))
        if self._stage.is_last:
            probabilities = self._description.probabilities(out).float()
            return Answer(out.argmax(1).cpu().numpy(), probabilities.cpu().numpy())
        return Activation(extract(out).cpu().numpy(), self._handed_on(out))

    def zeros(self, rows: int) -> np.ndarray:
        """Something to run, of the shape and form that requests have."""
        assert self._stage.takes is not None
        zeros = torch.zeros(rows, *self._stage.takes)
        return zeros.numpy() if self._stage.at_input else self._handed_on(zeros.to(self._device))

    def _inputs(self, batch: np.ndarray, resized: bool) -> Tensor:
        if self._stage.at_input:
            return self._description.inputs(as_tensor(batch).to(self._device), resized)
        return batch if isinstance(batch, Tensor) else unpack(batch, self._device)

    def _handed_on(self, activation: Tensor) -> np.ndarray:
        return activation if self._dtype is None else pack(activation, self._dtype)
