"""What a plan's deployments have to do, as a system that can be simulated, and the base DNN without
caches as another.

Later partitions get less traffic. How much, the plan expects of hits; what slices, lookups and hops
cost was measured at the build.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cache_models.bench.system import Station, System
from cache_models.build.measurement import ExplorationRecord
from cache_models.network.stages import INPUT, Stage
from cache_models.store.plan import Plan

ROUTER_MS = 2.7
"""Of a router's process for one request beside hops: HTTP, decoding, the answer. As measured where
the shipped base DNN takes 34 ms."""
MAX_BATCH_ROWS = 8
SAMPLED = 0.02
"""These two as serving has them by default, and sampling once there is little to learn."""


@dataclass(frozen=True)
class Load:
    """What one deployment of a plan has to do.

    Attributes:
        reached: share of requests that get there.
        ms: of computing, for each of them, at batch 1.
    """

    deployment: str
    reached: float
    ms: float

    @property
    def ms_a_request(self) -> float:
        """Of all requests."""
        return self.reached * self.ms


def loads(plan: Plan) -> list[Load]:
    """In the order in which a request meets them, from the exits that the plan expects."""
    shares = {point.name: point.compute_share for point in plan.candidates}
    found, reached = [], 1.0
    for stage in plan.stages():
        if stage.is_lookup:
            ms = plan.caches[stage.index].lookup_ms
        else:
            start = 0.0 if stage.at_input else shares[stage.start]
            end = 1.0 if stage.end is None else shares[stage.end]
            ms = (end - start) * plan.expected.base_compute_ms
        found.append(Load(stage.name, reached, ms))
        if stage.is_lookup:
            reached = max(0.0, reached - plan.expected.exits.get(stage.start, 0.0))
    return found


def with_caches(
    plan: Plan,
    records: Sequence[ExplorationRecord] = (),
    router_ms: float = ROUTER_MS,
    speculative: bool = False,
) -> System:
    """The plan as it is served.

    Args:
        records: of the build, which know what a lookup costs in a batch.
    """
    more_rows = {
        (r.cut_point, r.variant): _more_rows(r.lookup_ms_batch_1, r.lookup_ms_batch_8)
        for r in records
    }
    stations = []
    for stage, load in zip(plan.stages(), loads(plan), strict=True):
        hop_ms = plan.hop.ms(_moved_bytes(plan, stage))
        if stage.is_lookup:
            cache = plan.caches[stage.index]
            exits = plan.expected.exits.get(stage.start, 0.0)
            stations.append(
                Station(
                    stage.name,
                    (load.ms,),
                    more_rows.get((cache.cut_point, cache.variant.name), 1.0),
                    max_batch_rows=MAX_BATCH_ROWS,
                    answers=exits / load.reached if load.reached else 0.0,
                    hop_ms=hop_ms,
                    is_lookup=True,
                )
            )
        else:
            stations.append(
                Station(
                    stage.name,
                    (load.ms,),
                    _more_rows_of_slice(plan, stage),
                    plan.threads,
                    MAX_BATCH_ROWS,
                    answers=float(stage.end is None),
                    hop_ms=hop_ms,
                    sampled_ms=load.ms * plan.threads,
                )
            )
    return System(
        tuple(stations),
        (router_ms,),
        sampled=SAMPLED if plan.caches else 0.0,
        speculative=speculative,
    )


def plain(plan: Plan, router_ms: float = ROUTER_MS) -> System:
    """The base DNN whole in one deployment, which reads requests and computes one at a time."""
    ms = router_ms + plan.expected.base_compute_ms
    return System((Station("Plain", (ms,), threads=plan.threads, of_all=True),))


def describe_loads(plan: Plan) -> str:
    """For people: a line a deployment."""
    lines = [f"{'deployment':12} {'reached by':>10} {'ms each':>8} {'ms a request':>13}"]
    found = loads(plan)
    for load in found:
        lines.append(
            f"{load.deployment:12} {load.reached:10.1%} {load.ms:8.2f} {load.ms_a_request:13.2f}"
        )
    total = sum(load.ms_a_request for load in found)
    lines.append(
        f"{total:.2f} ms a request in all; the base DNN alone {plan.expected.base_compute_ms:.2f}."
    )
    return "\n".join(lines)


def _more_rows(batch_1_ms: float, batch_8_ms: float) -> float:
    """What a further row takes, as a share of the first; at most as long, or nobody would wait."""
    return min(1.0, max(0.0, batch_8_ms / batch_1_ms - 1) / 7)


def _more_rows_of_slice(plan: Plan, stage: Stage) -> float:
    """The same of the candidates' slices that the stage runs, where both were measured."""
    names = [point.name for point in plan.candidates]
    start = names.index(stage.start) + 1 if stage.start in names else 0
    end = len(names) if stage.end is None else names.index(stage.end) + 1
    measured = [p.slice_ms for p in plan.candidates[start:end] if {1, 8} <= p.slice_ms.keys()]
    if not measured:
        return 1.0
    return _more_rows(sum(ms[1] for ms in measured), sum(ms[8] for ms in measured))


def _moved_bytes(plan: Plan, stage: Stage) -> int:
    """There and back, for one request."""
    outputs = 4 * len(plan.description.classes)
    activations = {point.name: point.activation_bytes for point in plan.candidates}
    features = 0 if stage.features is None else 2 * math.prod(stage.features)
    if stage.is_lookup:
        return (activations[INPUT] if stage.at_input else features) + outputs
    back = outputs if stage.end is None else activations[stage.end] + features
    return activations.get(stage.start, 0) + back
