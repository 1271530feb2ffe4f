"""A plan without samples: where caches will be, untrained until they learn from the traffic."""

import numpy as np
import torch

from cache_models.build.pricing import Pricing
from cache_models.build.survey import candidate_names, survey
from cache_models.cache.asking import asking_ms
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.predictors import variants_for
from cache_models.cache.variant import Variant
from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import module_bytes
from cache_models.network.cutting import cut
from cache_models.network.features import feature_shape
from cache_models.network.stages import INPUT
from cache_models.promise.promise import Limits, Promise
from cache_models.store.exporting import make
from cache_models.store.plan import CacheRecord, CutPointRecord, Expected, HopCost, Plan
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store

PREFERRED = ("conv-32", "fc-128")


def cold_start(
    base: BaseDNN,
    store: Store,
    limits: Limits,
    hop: HopCost,
    names: list[str] | None = None,
    device: str = "cpu",
    activation_bytes_per_value: int = 2,
) -> CacheVersion:
    """Publish a version whose caches are untrained and never hit.

    Args:
        names: of the cut points; by default the input, if a cache there may learn anything, and the
            candidate nearest to half of the compute.

    Raises:
        DataError: a name is no candidate.
    """
    model, inputs = cut(base), _inputs(base)
    names = names and candidate_names(model, names)
    costs = survey(base, model, inputs, device, activation_bytes_per_value)
    points = costs.only(names or _few(costs.candidates)).candidates
    classes = len(base.description.classes)
    caches, records = {}, []
    for point in points:
        shape = feature_shape(model[point.name].shape)
        cache = LearnedCache(_variant(shape), shape, classes).eval()
        cache.selector.stake.fill_(point.stake)
        file = f"{point.name}.safetensors"
        caches[file] = cache
        records.append(
            CacheRecord(
                cut_point=point.name,
                file=file,
                variant=cache.variant,
                feature_shape=shape,
                memory_bytes=module_bytes(cache),
                lookup_ms=asking_ms(cache, 1) + costs.features_ms(point, 1),
                agreement=0.0,
            )
        )
    base_latency_ms = Pricing(costs.base_ms, inputs[0].nbytes, 4 * classes, hop).rest_ms(None)
    plan = Plan(
        model=base.reference,
        fingerprint=base.fingerprint(),
        description=base.description,
        candidates=costs.candidates,
        class_shares=(1 / classes,) * classes,
        caches=records,
        promise=Promise(limits=limits, threshold=None, samples=0, disagreements=0, classes=[]),
        expected=Expected(
            latency_ms=base_latency_ms,
            base_latency_ms=base_latency_ms,
            compute_ms=costs.base_ms,
            base_compute_ms=costs.base_ms,
            oracle_compute_ms=costs.base_ms,
            hit_rate=0.0,
            disagreement=0.0,
            hit_calibration_error=0.0,
            exits=dict.fromkeys((p.name for p in points), 0.0) | {"base": 1.0},
        ),
        hop=hop,
        device=device,
        threads=torch.get_num_threads(),
        data="nothing yet",
        notes=["a cold start: caches learn from the traffic"],
    )
    make(store.where, plan, base, None)
    return store.publish(plan, caches)


def _inputs(base: BaseDNN) -> np.ndarray:
    preprocessing = base.description.preprocessing
    if preprocessing is None:
        return base.description.examples(8)
    return np.zeros((8, *preprocessing.crop_size, len(preprocessing.mean)), np.uint8)


def _few(candidates: list[CutPointRecord]) -> list[str]:
    """The input, if it is one, and the hidden one nearest to half of the compute."""
    hidden = [point for point in candidates if point.name != INPUT]
    middle = min(hidden, key=lambda point: abs(point.compute_share - 0.5), default=None)
    few = [point.name for point in candidates if point.name == INPUT or point is middle]
    if not few:
        raise DataError("the model has no cut point that is worth a cache")
    return few


def _variant(shape: tuple[int, ...]) -> Variant:
    by_name = {variant.name: variant for variant in variants_for(shape)}
    return next(by_name[name] for name in PREFERRED if name in by_name)
