"""From what size of base DNN on a cache behind a hidden layer pays, on the device at hand.

A hit saves the slice behind the cut point, and costs two hops and a lookup: where those take longer
than that slice, as on a GPU they do for most of what people serve, nothing is to be won.
Classifiers have random weights, since latency does not ask for others.
"""

import numpy as np
import torch
from pydantic import BaseModel

from cache_models.bench.libraries import make
from cache_models.build.survey import candidate_names
from cache_models.cache.asking import asking_ms
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.predictors import variants_for
from cache_models.network.base_dnn import classifier
from cache_models.network.cost import median_ms, slice_costs, slice_flops
from cache_models.network.cutting import cut
from cache_models.network.engine.interface import DType
from cache_models.network.features import feature_shape
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT
from cache_models.store.plan import HopCost

HIT_SHARES = (0.5, 0.8)
MOVED_BYTES = {"activation": 2, "input": 1, "probability": 4}
"""Of one value: activations travel in float16, pictures as they are."""


class LateBindingRow(BaseModel):
    """One classifier with one cache, one request at a time.

    Attributes:
        share: of the operations that are before the cut point.
        base_ms: of the base DNN behind one hop.
        hit_ms, miss_ms: from the first hop to the answer.
        lookup_ms: of it, what the lookup computes.
        needed: share of hits from which requests take less time on average than `base_ms`; None
            where even a hit takes longer.
        gains: `base_ms` over the mean latency at `HIT_SHARES`.
    """

    name: str
    million_weights: float
    cut_point: str
    share: float
    activation_mb: float
    base_ms: float
    hit_ms: float
    miss_ms: float
    lookup_ms: float
    needed: float | None
    gains: tuple[float, ...]


def late_binding(
    name: str, share: float, hop: HopCost, device: str, dtype: DType, side: int
) -> LateBindingRow:
    """
    Args:
        name: as of `libraries.make`.
        share: of the operations that the cut point nearest to it is to have before it.
        side: of the inputs of torchvision's, in pixels.
    """
    torch.manual_seed(0)
    base = classifier(name, *make(name, side))
    model = cut(base)
    names = [point for point in candidate_names(model) if point != INPUT]
    flops = np.cumsum(slice_flops(model, names))
    nearest = int(np.abs(flops[:-1] / flops[-1] - share).argmin())
    point = model[names[nearest]]
    (whole,) = slice_engines(base, model, [], None, device, "auto", dtype)
    assert whole is not None
    given = base.description.examples(1)
    whole_ms = median_ms(lambda: whole(given), 50)
    slices = slice_engines(base, model, [point.name], None, device, "auto", dtype)
    first, rest = (cost[1] for cost in slice_costs(slices, base.description, (1,)))
    classes, shape = len(base.description.classes), feature_shape(point.shape)
    cache = LearnedCache(variants_for(shape)[-1], shape, classes).eval()
    lookup = asking_ms(cache, 1)
    taken = MOVED_BYTES["input"] * given.size
    answer = MOVED_BYTES["probability"] * classes
    activation, features = point.activation_bytes(2), 2 * int(np.prod(shape))
    base_ms = whole_ms + hop.ms(taken + answer)
    hit_ms = first + hop.ms(taken + activation + features) + lookup + hop.ms(features + answer)
    miss_ms = hit_ms + rest + hop.ms(activation + answer)
    return LateBindingRow(
        name=name,
        million_weights=sum(value.numel() for value in base.module.parameters()) / 1e6,
        cut_point=point.name,
        share=float(flops[nearest] / flops[-1]),
        activation_mb=activation / 1e6,
        base_ms=base_ms,
        hit_ms=hit_ms,
        miss_ms=miss_ms,
        lookup_ms=lookup,
        needed=max(0.0, (miss_ms - base_ms) / (miss_ms - hit_ms)) if hit_ms < base_ms else None,
        gains=tuple(base_ms / (hits * hit_ms + (1 - hits) * miss_ms) for hits in HIT_SHARES),
    )


def heading() -> str:
    gains = "".join(f"{f'gain {hits:.0%}':>10}" for hits in HIT_SHARES)
    return (
        f"{'base DNN':40}{'weights':>9}{'before':>8}{'MB':>6}{'base':>8}{'hit':>8}{'miss':>8}"
        f"{'needs':>8}{gains}"
    )


def describe(row: LateBindingRow) -> str:
    needed = "never" if row.needed is None else f"{row.needed:.0%}"
    return (
        f"{row.name:40}{row.million_weights:8.1f}M{row.share:8.0%}{row.activation_mb:6.2f}"
        f"{row.base_ms:8.2f}{row.hit_ms:8.2f}{row.miss_ms:8.2f}{needed:>8}"
        + "".join(f"{gain:10.2f}" for gain in row.gains)
    )
