"""What every cut point of a base DNN costs on the device at hand, and which are worth a cache."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import BATCHES, median_ms, slice_costs, slice_flops
from cache_models.network.cutting import CutModel
from cache_models.network.engine.interface import DType
from cache_models.network.features import input_features
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT
from cache_models.store.plan import CutPointRecord


@dataclass(frozen=True)
class Survey:
    """
    Attributes:
        candidates: the input and the cut points worth a cache, with the measured slice that ends
            at each.
        base_ms: of the base DNN at batch 1, cut at the candidates.
        input_features_ms: preprocessing for a cache at the input, by batch size; elsewhere the
            partition has done it.
    """

    candidates: list[CutPointRecord]
    base_ms: float
    input_features_ms: dict[int, float]

    def features_ms(self, point: CutPointRecord, batch: int) -> float:
        """What a lookup at `point` has to do before it can ask its cache."""
        return self.input_features_ms[batch] if point.name == INPUT else 0.0

    def only(self, names: Sequence[str]) -> "Survey":
        """These candidates alone."""
        return replace(self, candidates=[p for p in self.candidates if p.name in names])


def survey(
    base: BaseDNN,
    model: CutModel,
    images: np.ndarray,
    device: str = "cpu",
    activation_bytes_per_value: int = 2,
    only: Sequence[str] | None = None,
    dtype: DType = "float32",
) -> Survey:
    """Measure `model`, which was cut from `base`, on `device`.

    Args:
        images: samples of the input, `(N, h, w, C)` uint8 or `(N, *input_shape)` float32.
        only: of these candidates.
        dtype: in which partitions will compute.
    """
    points = [model[name] for name in candidate_names(model, only)]
    names = [point.name for point in points]
    engines = slice_engines(base, model, names, None, device, "auto", dtype)
    costs = slice_costs(engines, base.description)
    reached = np.cumsum([cost[1] for cost in costs])
    return Survey(
        [
            CutPointRecord(
                name=point.name,
                activation_shape=point.shape,
                activation_bytes=(
                    images[0].nbytes
                    if point.name == INPUT
                    else point.activation_bytes(activation_bytes_per_value)
                ),
                slice_ms=cost,
                compute_share=float(ms / reached[-1]),
            )
            for point, cost, ms in zip(points, costs, reached, strict=False)
        ],
        float(reached[-1]),
        {batch: _input_features_ms(base, images, batch) for batch in BATCHES},
    )


def _input_features_ms(base: BaseDNN, images: np.ndarray, rows: int) -> float:
    batch = np.resize(images[:rows], (rows, *images.shape[1:]))
    return median_ms(lambda: input_features(base.description, batch))


def candidate_names(model: CutModel, only: Sequence[str] | None = None) -> list[str]:
    """The input and the cut points worth a cache, in execution order.

    Args:
        only: of these.

    Raises:
        DataError: one of those is no candidate.
    """
    hidden = [point for point in model.cut_points if point.name != INPUT]
    flops = slice_flops(model, [point.name for point in hidden])
    sizes = [point.activation_bytes(1) for point in hidden]
    known = [hidden[i].name for i in candidates(flops, sizes, model.of_tokens)]
    if model.cut_points[0].name == INPUT:
        known = [INPUT, *known]
    if unknown := [name for name in only or () if name not in known]:
        raise DataError(f"{unknown} are no candidates; those are {', '.join(known)}")
    return [name for name in known if not only or name in only]


def candidates(
    flops: list[int], sizes: list[int], looked_up: bool = False, min_share: float = 0.02
) -> list[int]:
    """The cut points worth a cache: of neighbours less than `min_share` of the compute apart the
    one whose activation is smallest, and of equals the last, which has seen the most of it; none
    before anything has been computed, or where less than `min_share` is left to be.

    Args:
        flops: of the slices between all cut points, one more than there are cut points.
        sizes: of the activations at them.
        looked_up: whether the first activations come from a table, as embeddings of tokens do:
            nothing has been computed, and yet there is something to learn from.

    >>> candidates([0, 1000, 10, 0, 1000, 10], [9, 4, 4, 4, 4])
    [3]
    >>> candidates([0, 1000, 10, 0, 1000, 10], [9, 4, 2, 8, 4])
    [2]
    >>> candidates([0, 0, 1000, 1000], [9, 9, 9], looked_up=True)
    [1, 2]
    """
    reached = np.cumsum(flops)
    least = min_share * reached[-1]
    groups: list[list[int]] = []
    for i, done in enumerate(reached[:-1]):
        if not (done or looked_up) or reached[-1] - done < least:
            continue
        if groups and done - reached[groups[-1][0]] < least:
            groups[-1].append(i)
        else:
            groups.append([i])
    return [min(group, key=lambda i: (sizes[i], -i)) for group in groups]
