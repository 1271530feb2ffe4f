"""What routers have answered: each keeps a `Stats`, whose snapshots add up, and `/stats`, the
metrics and whoever else wants figures read such a snapshot.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram
from pydantic import BaseModel, ConfigDict

from cache_models.network.stages import BASE

MAX_LATENCY_US = 600_000_000
STEP = 1.2


@dataclass(frozen=True)
class Snapshot:
    """Of one router, or of several together; holds values that travel.

    Attributes:
        latencies: by exit, an encoded histogram of microseconds.
        errors: by HTTP status.
        lookup_failures: by cut point.
        hops: by deployment, as `transport.place.Deployed.by_way` has it.
        samples: as `follow.sampler.Sampler.counts` has it.
        ongoing: requests that are being answered.
        own: what copies of stages in routers say of themselves, by stage; values as of
            `Replica.state`, one a copy.
    """

    latencies: Mapping[str, bytes]
    errors: Mapping[int, int]
    lookup_failures: Mapping[str, int]
    hops: Mapping[str, Mapping[str, float]]
    samples: Mapping[str, int] = field(default_factory=dict)
    ongoing: int = 0
    own: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)


class Latency(BaseModel):
    """Of requests, a batch's rows each, in milliseconds; without requests there is but a count.

    Attributes:
        histogram: counts by steps of time, each a fifth longer than the one before: by `n` those
            from `1.2**n` ms on. They add up, and are subtracted from later ones.
    """

    count: int
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    histogram: dict[int, int] | None = None


class Traffic(BaseModel):
    """A snapshot, for people and programs to read.

    Attributes:
        hit_rate: share of requests that a cache has answered; None without requests.
        latency_ms, exits: of all, and by exit.
        errors: by HTTP status.
        lookup_failures: lookups that failed or were late, by cut point.
        hops: calls by deployment and way; replicas connected, and calls that wait at routers for a
            place at one; and of `hops` calls, the milliseconds beside the replica's own.
        samples: requests that were sampled, and what became of them.
        ongoing: requests that are being answered.
    """

    requests: int
    hit_rate: float | None
    latency_ms: Latency
    exits: dict[str, Latency]
    errors: dict[str, int]
    lookup_failures: dict[str, int]
    hops: dict[str, dict[str, int | float]]
    samples: dict[str, int]
    ongoing: int


class StageState(BaseModel):
    """Of all replicas of a partition or lookup together, and of routers' own copies, since each
    started; of what somebody waited for.

    Attributes:
        ongoing: requests that they have now; `queued` of them wait to be computed.
        rows: that were computed, in `batches`, which took `compute_ms`.
        streams: that are remembered, and their bytes.
    """

    replicas: int
    ongoing: int
    queued: int
    batches: int
    rows: int
    compute_ms: float
    streams: int | None = None
    stream_bytes: int | None = None


class Report(Traffic):
    """Of all routers since each started, with what the trainer says of itself besides.

    Attributes:
        routers: that have answered for themselves.
        stages: by deployment, of those whose replicas have answered.
        model: its name in the Open Inference Protocol.
        guard: what the guard has seen, or that the trainer does not answer.
        mode: `serve`, `shadow` or `off`.
        cache_version: in service.
        plan: as the store has it, without the names of classes.
    """

    model_config = ConfigDict(extra="allow")

    routers: int
    stages: dict[str, StageState]
    model: str
    guard: dict[str, Any]
    mode: str | None = None
    cache_version: int
    plan: dict[str, Any]


class Stats:
    """Counts and latency histograms by exit; a batch counts once a row."""

    def __init__(self):
        self._latencies: dict[str, HdrHistogram] = defaultdict(_histogram)
        self._errors: Counter[int] = Counter()

    def count(self, exits: Sequence[str], latency_ms: float) -> None:
        for name, rows in Counter(exits).items():
            latency_us = min(max(int(latency_ms * 1e3), 1), MAX_LATENCY_US)
            self._latencies[name].record_value(latency_us, rows)

    def count_error(self, status: int) -> None:
        self._errors[status] += 1

    def snapshot(
        self,
        lookup_failures: Mapping[str, int],
        hops: Mapping[str, Mapping[str, float]],
        samples: Mapping[str, int] | None = None,
        ongoing: int = 0,
        own: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    ) -> Snapshot:
        """All of it, with what others have counted."""
        latencies = {name: histogram.encode() for name, histogram in self._latencies.items()}
        return Snapshot(
            latencies,
            dict(self._errors),
            dict(lookup_failures),
            dict(hops),
            samples or {},
            ongoing,
            own or {},
        )


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Their sum."""
    latencies: dict[str, HdrHistogram] = defaultdict(_histogram)
    errors: Counter[int] = Counter()
    failures: Counter[str] = Counter()
    hops: dict[str, Counter[str]] = defaultdict(Counter)
    samples: Counter[str] = Counter()
    own: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    for snapshot in snapshots:
        for name, encoded in snapshot.latencies.items():
            latencies[name].decode_and_add(encoded)
        errors.update(snapshot.errors)
        failures.update(snapshot.lookup_failures)
        samples.update(snapshot.samples)
        for name, by_way in snapshot.hops.items():
            hops[name].update(by_way)
        for name, states in snapshot.own.items():
            own[name].extend(states)
    return Snapshot(
        {name: histogram.encode() for name, histogram in latencies.items()},
        errors,
        failures,
        hops,
        samples,
        sum(snapshot.ongoing for snapshot in snapshots),
        own,
    )


def together(states: Sequence[Mapping[str, float]]) -> StageState:
    """What the replicas of one deployment say of themselves."""
    total: Counter[str] = Counter()
    for state in states:
        total.update(state)
    return StageState(replicas=len(states), **total)


def traffic(snapshot: Snapshot) -> Traffic:
    """What a snapshot says."""
    by_exit, total = {}, _histogram()
    for name, encoded in sorted(snapshot.latencies.items()):
        by_exit[name] = HdrHistogram.decode(encoded)
        total.add(by_exit[name])
    count = total.get_total_count()
    base = by_exit[BASE].get_total_count() if BASE in by_exit else 0
    return Traffic(
        requests=count,
        hit_rate=(count - base) / count if count else None,
        latency_ms=_latency(total),
        exits={name: _latency(histogram) for name, histogram in by_exit.items()},
        errors={str(status): n for status, n in sorted(snapshot.errors.items())},
        lookup_failures=dict(snapshot.lookup_failures),
        hops={name: dict(by_way) for name, by_way in snapshot.hops.items()},
        samples=dict(snapshot.samples),
        ongoing=snapshot.ongoing,
    )


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, MAX_LATENCY_US, 2)


def _latency(histogram: HdrHistogram) -> Latency:
    count = histogram.get_total_count()
    if not count:
        return Latency(count=0)

    def at(percentile: float) -> float:
        return round(histogram.get_value_at_percentile(percentile) / 1e3, 3)

    return Latency(
        count=count,
        mean=round(histogram.get_mean_value() / 1e3, 3),
        p50=at(50),
        p90=at(90),
        p95=at(95),
        p99=at(99),
        max=round(histogram.get_max_value() / 1e3, 3),
        histogram=_steps(histogram),
    )


def _steps(histogram: HdrHistogram) -> dict[int, int]:
    counts: Counter[int] = Counter()
    for item in histogram.get_recorded_iterator():
        counts[math.floor(math.log(item.value_iterated_to / 1e3, STEP))] += (
            item.count_added_in_this_iter_step
        )
    return dict(counts)
