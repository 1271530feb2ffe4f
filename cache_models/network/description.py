"""What a base DNN takes and returns: what a user says of a module of their own.

Plans carry it, and who only reads a plan need not wait for PyTorch, which is imported where tensors
are touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cache_models.network.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ModelDescription:
    """What a module takes and returns.

    Args:
        input_shape: of one input tensor without the batch, such as (3, 224, 224), float32.
        classes: the names of the classes, in the order of the scores.
        preprocessing: how a decoded image becomes such a tensor; None where inputs are no images.
        scores: whether the module returns logits or probabilities.
    """

    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: Preprocessing | None = None
    scores: Literal["logits", "probabilities"] = "logits"

    def inputs(self, images: Tensor, resized: bool = False) -> Tensor:
        """Decoded images `(B, C, h, w)` uint8, or ready tensors, → `(B, *input_shape)` float32.

        Args:
            resized: whether images have the size of `input_shape` already.
        """
        import torch

        if images.dtype != torch.uint8 or self.preprocessing is None:
            return images
        return self.preprocessing.normalise(images) if resized else self.preprocessing(images)

    def probabilities(self, scores: Tensor) -> Tensor:
        """The module's output `(B, K)` as probabilities."""
        return scores.softmax(1) if self.scores == "logits" else scores
