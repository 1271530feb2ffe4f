"""A plan, for tests of what is done with one."""

from cache_models.cache.variant import Variant
from cache_models.network.description import ModelDescription
from cache_models.promise.promise import Limits, Promise
from cache_models.store.plan import (
    CacheRecord,
    CutPointRecord,
    Expected,
    HopCost,
    MemoryRecord,
    Plan,
)


def plan_for(
    names,
    classes=("a", "b"),
    width=1,
    variant=None,
    threshold=0.9,
    compute_share=0.5,
    base_ms=1.0,
    lookup_ms=1.0,
    remember=(),
) -> Plan:
    """Caches at the cut points `names`, whose activations are vectors of `width`; those at
    `remember` have a memory of streams."""
    return Plan(
        model="m",
        fingerprint="",
        description=ModelDescription((width,), tuple(classes)),
        candidates=[
            CutPointRecord(
                name=name,
                activation_shape=(width,),
                activation_bytes=4 * width,
                slice_ms={1: 1.0},
                compute_share=compute_share,
            )
            for name in names
        ],
        class_shares=(1 / len(classes),) * len(classes),
        caches=[
            CacheRecord(
                cut_point=name,
                file=f"{name}.safetensors",
                variant=variant or Variant(family="pool", size=1),
                feature_shape=(width,),
                memory_bytes=1,
                lookup_ms=lookup_ms,
                agreement=1,
                memory=MemoryRecord(stream_bytes=1, alone=True) if name in remember else None,
            )
            for name in names
        ],
        promise=Promise(
            limits=Limits(), threshold=threshold, samples=1, disagreements=0, classes=[]
        ),
        expected=Expected(
            latency_ms=base_ms,
            base_latency_ms=base_ms,
            compute_ms=base_ms,
            base_compute_ms=base_ms,
            hit_rate=0,
            disagreement=0,
            hit_calibration_error=0,
            oracle_compute_ms=0,
            exits={},
        ),
        hop=HopCost(),
        device="cpu",
        threads=1,
        data="",
    )


SHARES = {"input": 0.0, "early": 0.2, "late": 0.7}


def planned(names, exits) -> Plan:
    """Caches at some of `SHARES`, a lookup of 2 ms and a base DNN of 100, and what is expected of
    exits."""
    plan = plan_for(names, base_ms=100.0, lookup_ms=2.0)
    points = [p.model_copy(update={"compute_share": SHARES[p.name]}) for p in plan.candidates]
    expected = plan.expected.model_copy(update={"exits": exits})
    return plan.model_copy(update={"candidates": points, "expected": expected})
