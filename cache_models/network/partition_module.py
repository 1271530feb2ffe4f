"""A slice as partitions run it: with what is made of its output, in one graph."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cache_models.network.activation import LARGEST, Precision
from cache_models.network.cutting import CutModel
from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import DType
from cache_models.network.engine.numerics import weights_of
from cache_models.network.pooling import extract


class Hidden(nn.Module):
    """A slice that ends at a cut point: `(B, *takes)` → features `(B, *feature_shape)` float16 and
    the activation `(B, *shape)` float32."""

    def __init__(self, part: nn.Module, with_mask: bool, dtype: DType):
        super().__init__()
        self.part = part
        self._with_mask, self._dtype = with_mask, weights_of(dtype)

    def forward(self, activation: Tensor) -> tuple[Tensor, Tensor]:
        out = self.part(activation.to(self._dtype)).float()
        return extract(out, self._with_mask), out


class Last(nn.Module):
    """The slice that ends with the answer: `(B, *takes)` → labels `(B,)` int64 and probabilities
    `(B, K)` float32."""

    def __init__(self, part: nn.Module, description: ModelDescription, dtype: DType = "float32"):
        super().__init__()
        self.part = part
        self._dtype = weights_of(dtype)
        self._are_logits = description.scores == "logits"

    def forward(self, activation: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.part(activation.to(self._dtype)).float()
        return scores.argmax(1), scores.softmax(1) if self._are_logits else scores


class Travelling(nn.Module):
    """A slice that takes and hands on activations as they travel, as `network.activation` packs
    them: on a GPU, so that half as many bytes leave it.

    Args:
        module: `Hidden` or `Last`.
    """

    def __init__(self, module: nn.Module, precision: Precision):
        super().__init__()
        self.module = module
        self._precision = precision

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        if batch.dtype == torch.int16:
            batch = batch.view(torch.bfloat16)
        first, second = self.module(batch.float())
        if isinstance(self.module, Hidden):
            match self._precision:
                case "float16":
                    second = second.clamp(-LARGEST, LARGEST).half()
                case "bfloat16":
                    second = second.bfloat16().view(torch.int16)
        return first, second


def partition_modules(
    model: CutModel,
    names: Sequence[str],
    description: ModelDescription,
    dtype: DType = "float32",
) -> list[nn.Module]:
    """For the slices between the named cut points, `len(names) + 1` of them; `nn.Identity` for the
    one that ends at the input.

    Args:
        dtype: that their weights will be in.
    """
    *hidden, last = model.slices(names)
    return [
        *(
            part
            if isinstance(part, nn.Identity)
            else Hidden(part, model[name].with_mask, dtype).eval()
            for name, part in zip(names, hidden, strict=True)
        ),
        Last(last, description, dtype).eval(),
    ]
