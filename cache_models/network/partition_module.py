"""A slice as partitions run it: with what is made of its output, in one graph."""

from collections.abc import Sequence

from torch import Tensor, nn

from cache_models.network.cutting import CutModel
from cache_models.network.description import ModelDescription
from cache_models.network.pooling import extract


class Hidden(nn.Module):
    """A slice that ends at a cut point: `(B, *takes)` → features `(B, *feature_shape)` float16 and
    the activation `(B, *shape)` float32."""

    def __init__(self, part: nn.Module, with_mask: bool):
        super().__init__()
        self.part = part
        self._with_mask = with_mask

    def forward(self, activation: Tensor) -> tuple[Tensor, Tensor]:
        out = self.part(activation)
        return extract(out, self._with_mask), out


class Last(nn.Module):
    """The slice that ends with the answer: `(B, *takes)` → labels `(B,)` int64 and probabilities
    `(B, K)` float32."""

    def __init__(self, part: nn.Module, description: ModelDescription):
        super().__init__()
        self.part = part
        self._are_logits = description.scores == "logits"

    def forward(self, activation: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.part(activation)
        return scores.argmax(1), scores.softmax(1) if self._are_logits else scores


def partition_modules(
    model: CutModel, names: Sequence[str], description: ModelDescription
) -> list[nn.Module]:
    """For the slices between the named cut points, `len(names) + 1` of them; `nn.Identity` for the
    one that ends at the input."""
    *hidden, last = model.slices(names)
    return [
        *(
            part if isinstance(part, nn.Identity) else Hidden(part, model[name].with_mask).eval()
            for name, part in zip(names, hidden, strict=True)
        ),
        Last(last, description).eval(),
    ]
