"""How many replicas of everything a rate of requests takes, with caches and without.

Ever more of them are simulated, until the slowest 1 % of requests are quick enough.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel
from tqdm import tqdm

from cache_models.bench.capacity import ROUTER_MS, plain, with_caches
from cache_models.bench.simulation import Simulated, poisson_ms, simulate
from cache_models.bench.system import ROUTER, System
from cache_models.build.measurement import ExplorationRecord
from cache_models.store.plan import Plan

REQUESTS = 8_000
"""Simulated; the slowest 1 % are 72 of those that count."""
MOST_BUSY = 0.95
"""Share of its time that a replica may be busy, whatever the target."""
WAITS = tuple(2 ** (5 - i / 2) for i in range(26))
"""How long a request may wait at each deployment, as a share of the p99 asked for."""
LONG_S = 0.4
"""That are simulated at least, ten times what the base DNN takes."""
PROXY_PER_S = 2_500
"""Plain servers' requests beyond it come by as many proxies as it takes, each with its own."""
GATI, PLAIN = "gati", "plain"


class Deployment(BaseModel):
    """
    Attributes:
        busy: share of time in which a replica works.
    """

    name: str
    replicas: int
    busy: float


class Sizing(BaseModel):
    """What one system takes at a rate.

    Attributes:
        cores: of all replicas, each with as many as it has threads; or those that all share.
        reached: whether 99 of 100 requests are as quick as they should be.
    """

    rate_per_s: float
    system: str
    p50_ms: float
    p99_ms: float
    reached: bool
    cores: int
    deployments: list[Deployment]


def default_p99_ms(plan: Plan) -> float:
    """Twice what the base DNN takes when nobody waits."""
    return 2 * plan.expected.base_latency_ms


def sizes(
    plan: Plan,
    rates_per_s: Sequence[float],
    p99_ms: float,
    records: Sequence[ExplorationRecord] = (),
    *,
    router_ms: float = ROUTER_MS,
    speculative: bool = False,
    cores: int | None = None,
    requests: int = REQUESTS,
) -> list[Sizing]:
    """What the plan as it is served takes at every rate, and the base DNN without caches.

    Arguments as of `with_caches` and `size`.
    """
    systems = {
        GATI: with_caches(plan, records, router_ms, speculative),
        PLAIN: plain(plan, router_ms),
    }
    asked = [(name, rate) for rate in rates_per_s for name in systems]
    return [
        size(name, systems[name], rate, p99_ms, cores, requests)
        for name, rate in tqdm(asked, desc="simulate", unit="size", delay=1)
    ]


def size(
    name: str,
    system: System,
    rate_per_s: float,
    p99_ms: float,
    cores: int | None = None,
    requests: int = REQUESTS,
) -> Sizing:
    """The fewest replicas with which 99 of 100 requests take at most `p99_ms`; where none do, those
    with which they take least.

    Replicas are so busy that a request waits equally long at every deployment, if all were M/M/1
    queues; how long that may be is searched.

    Args:
        cores: that all replicas share; None gives each as many as it has threads.
        requests: to simulate, at least.
    """
    proxies = 1
    if cores is None and all(station.of_all for station in system.stations):
        proxies = math.ceil(rate_per_s / PROXY_PER_S)
    requests = max(requests, int(LONG_S * rate_per_s / proxies))
    due_ms = poisson_ms(requests, rate_per_s / proxies, seed=0)
    tried: dict[tuple[int, ...], Simulated] = {}

    def waiting(share: float) -> tuple[dict[str, int], Simulated]:
        replicas = _replicas(system, rate_per_s / proxies, share * p99_ms)
        counts = tuple(replicas.values())
        if counts not in tried:
            tried[counts] = simulate(system, replicas, due_ms, cores=cores)
        return replicas, tried[counts]

    def is_quick(share: float) -> bool:
        return waiting(share)[1].percentile_ms(99) <= p99_ms

    place = bisect_left(WAITS, True, key=is_quick)
    if place == len(WAITS):
        place = min(range(place), key=lambda i: waiting(WAITS[i])[1].percentile_ms(99))
    replicas, found = waiting(WAITS[place])
    counts = {name: proxies * count for name, count in replicas.items()}
    threads = {station.name: station.threads for station in system.stations}
    return Sizing(
        rate_per_s=rate_per_s,
        system=name,
        p50_ms=found.percentile_ms(50),
        p99_ms=found.percentile_ms(99),
        reached=found.percentile_ms(99) <= p99_ms,
        cores=cores or sum(threads.get(name, 1) * count for name, count in counts.items()),
        deployments=[
            Deployment(name=name, replicas=count, busy=found.busy[name])
            for name, count in counts.items()
        ],
    )


def describe(sizings: Sequence[Sizing], p99_ms: float) -> str:
    """For people: a line a system and rate."""
    lines = [
        f"{'requests/s':>10}  {'system':6} {'p50 ms':>8} {'p99 ms':>8} {'cores':>6}  "
        f"replicas, and how busy each is"
    ]
    for one in sizings:
        replicas = ", ".join(f"{d.name} {d.replicas} ({d.busy:.0%})" for d in one.deployments)
        lines.append(
            f"{one.rate_per_s:10g}  {one.system:6} {one.p50_ms:8.1f} {one.p99_ms:7.1f}"
            f"{' ' if one.reached else '!'} {one.cores:6}  {replicas}"
        )
    lines.append(
        f"Simulated: Poisson arrivals; 99 of 100 requests within {p99_ms:.0f} ms"
        + (
            "."
            if all(one.reached for one in sizings)
            else ", which more replicas do not reach at !."
        )
    )
    return "\n".join(lines)


def _replicas(system: System, rate_per_s: float, wait_ms: float) -> dict[str, int]:
    """With which a request waits so long at each deployment, in the mean of an M/M/1 queue."""
    router_ms, reached = float(np.mean(system.router_ms)), 1.0
    counts = {}
    for station in system.stations:
        ms = float(np.mean(station.ms)) + station.hop_ms / 2
        counts[station.name] = _count(rate_per_s * reached, ms, wait_ms)
        router_ms += reached * station.hop_ms / 2
        reached *= 1 - station.answers
    if not router_ms:
        return counts
    return {ROUTER: _count(rate_per_s, router_ms, wait_ms), **counts}


def _count(rate_per_s: float, ms: float, wait_ms: float) -> int:
    busy = min(MOST_BUSY, wait_ms / (wait_ms + ms))
    return max(1, math.ceil(rate_per_s * ms / 1e3 / busy))
