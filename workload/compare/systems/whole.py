"""The whole base DNN behind one function, as every system without late binding serves it."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.device import resolve
from cache_models.network.engine import fast
from cache_models.network.layout import channels_last
from cache_models.network.pixels import pixels
from cache_models.network.preprocessing import as_tensor
from cache_models.network.threads import use_threads

WARM_UP = 5


def prepared(base: BaseDNN, device: torch.device) -> nn.Module:
    """The whole module in the form in which this project's own partitions run theirs."""
    return fast(base.module, base.description.input_shape, device)


def decode(body: bytes, base: BaseDNN) -> np.ndarray:
    """A PNG or JPEG as `(h, w, 1 or 3)` uint8."""
    preprocessing = base.description.preprocessing
    assert preprocessing is not None, "systems are compared on pictures"
    return pixels(Image.open(io.BytesIO(body)), len(preprocessing.mean))


def reply(base: BaseDNN, probabilities: Tensor, exit: str) -> dict[str, Any]:
    """The JSON of one answer, its main fields as those of this project's own.

    Args:
        probabilities: `(1, K)`.
    """
    class_id = int(probabilities.argmax(1))
    return {
        "label": base.description.classes[class_id],
        "class_id": class_id,
        "probability": float(probabilities[0, class_id]),
        "exit": exit,
    }


class Whole:
    """A body in, an answer out. All of it, loading included, must happen in one thread, because
    OpenMP keeps a team of threads for every thread that computes.

    Args:
        model: reference of the base DNN.
        threads: of PyTorch within one operation.
        eager: run the module as it is, in PyTorch's own memory layout, rather than in the form in
            which all others run it.
    """

    def __init__(self, model: str, device: str, threads: int, eager: bool = False):
        use_threads(threads)
        self._device = resolve(device)
        self._base = load(model)
        self._layout: Callable[[Tensor], Tensor]
        if eager:
            self._layout, self._module = Tensor.contiguous, self._base.module.to(self._device)
        else:
            self._layout, self._module = channels_last, prepared(self._base, self._device)
        zeros = torch.zeros(1, *self._base.description.input_shape)
        for _ in range(WARM_UP):
            self._probabilities(zeros)

    @torch.inference_mode()
    def answer(self, body: bytes) -> dict[str, Any]:
        image = decode(body, self._base)
        return reply(self._base, self._probabilities(as_tensor(image[None])), "base")

    @torch.inference_mode()
    def _probabilities(self, images: Tensor) -> Tensor:
        inputs = self._base.inputs(images.to(self._device))
        return self._base.description.probabilities(self._module(self._layout(inputs))).float()
