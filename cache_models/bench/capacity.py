"""Cost by depth: later partitions get less traffic, and so need fewer replicas."""

import math
from dataclasses import dataclass

from cache_models.store.plan import Plan

BUSY = 0.7
"""Share of time in which a replica may compute; queues grow quickly beyond it."""


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

    def replicas(self, rate_per_s: float) -> int:
        """That keep up with so many requests, each busy for at most `BUSY` of the time."""
        return max(1, math.ceil(rate_per_s * self.ms_a_request / 1e3 / BUSY))


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


def describe(plan: Plan, rate_per_s: float) -> str:
    """For people: a line a deployment."""
    lines = [
        f"{'deployment':12} {'reached by':>10} {'ms each':>8} {'ms a request':>13} {'replicas':>9}"
    ]
    found = loads(plan)
    for load in found:
        lines.append(
            f"{load.deployment:12} {load.reached:10.1%} {load.ms:8.2f} {load.ms_a_request:13.2f} "
            f"{load.replicas(rate_per_s):9}"
        )
    total = sum(load.ms_a_request for load in found)
    lines.append(
        f"{total:.2f} ms a request in all; the base DNN alone {plan.expected.base_compute_ms:.2f}. "
        f"Replicas for {rate_per_s:g} requests/s, at most {BUSY:.0%} busy each."
    )
    return "\n".join(lines)
