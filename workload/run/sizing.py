"""Does the simulation behind `inspect --rate` say what happens here?

At each rate, several times in turn, since a machine's speed drifts:

1. One client sends requests one by one and asks for their timelines, some with caches off: so what
   everything costs is known, without anybody waiting.
2. Poisson traffic is sent.

Then Poisson traffic at that rate is simulated with these costs, on the cores of this machine, and
percentiles of latency are compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import psutil
from scipy.stats import binom

from cache_models.bench.simulation import poisson_ms, simulate
from cache_models.bench.system import Station, System
from cache_models.network.threads import cores
from workload.client.answers import ERROR
from workload.client.client import send
from workload.errors import ServerError
from workload.run.profile import WARM_UP, Profile, profile
from workload.samples import Sample
from workload.traffic.arrivals import poisson

TURNS = 5
ALONE, ALONE_OFF = WARM_UP + 50, WARM_UP + 20
"""Requests one by one in a turn, with caches and without."""
CLIENT_SHARE = 0.5
"""Of the time of a request that the router does not know of, the client's and the proxy's; the rest
is the router's process, before it begins to measure and after."""
SIMULATED = 20_000
IDLE_S = 3.0


@dataclass(frozen=True)
class Percentile:
    """In milliseconds; where the measured one would lie in 95 of 100 runs, too."""

    simulated: float
    measured: float
    low: float
    high: float

    @property
    def off_by(self) -> float:
        """What is simulated too much, as a share of what was measured."""
        return self.simulated / self.measured - 1


@dataclass(frozen=True)
class Compared:
    """At one rate.

    Attributes:
        busy: share of time in which each process works, simulated.
    """

    rate_per_s: float
    requests: int
    p50_ms: Percentile
    p99_ms: Percentile
    busy: dict[str, float]


def samples_of(rate_count: int) -> int:
    """That are taken to compare one rate at which so many are sent."""
    return rate_count + TURNS * (ALONE + ALONE_OFF)


def compare(
    url: str, system: System, samples: Iterator[Sample], rate_per_s: float, count: int, seed: int
) -> Compared:
    """One rate.

    Args:
        samples: enough of them, see `samples_of`.
        count: requests to send at that rate.

    Raises:
        ServerError: some got no answer.
    """
    on, off, measured_ms = [], [], []
    for turn in range(TURNS):
        on.append(profile(url, list(islice(samples, ALONE))))
        off.append(profile(url, list(islice(samples, ALONE_OFF)), use_caches=False))
        sent = list(islice(samples, count // TURNS))
        answers = send(url, sent, poisson(len(sent), rate_per_s, seed + turn))
        if failed := int((answers.exits == ERROR).sum()):
            raise ServerError(f"{failed} of {len(sent)} requests to {url} got no answer")
        measured_ms.append(answers.latency_ms)
    due_ms = poisson_ms(SIMULATED, rate_per_s, seed)
    found = simulate(as_measured(system, on, off), {}, due_ms, seed, cores())
    all_ms = np.sort(np.concatenate(measured_ms))
    p50_ms, p99_ms = (_percentile(found.percentile_ms(q), all_ms, q) for q in (50, 99))
    return Compared(rate_per_s, len(all_ms), p50_ms, p99_ms, dict(found.busy))


def as_measured(system: System, on: Sequence[Profile], off: Sequence[Profile]) -> System:
    """The system, at the costs that requests sent one by one have had.

    Args:
        on, off: with caches and without.
    """
    http_ms = np.concatenate([found.http_ms for found in on])
    own_ms = np.concatenate([found.router_ms + _own_steps_ms(found) for found in on])
    return replace(
        system,
        stations=tuple(_station_as_measured(station, [*on, *off]) for station in system.stations),
        router_ms=tuple(own_ms + (1 - CLIENT_SHARE) * http_ms),
        client_ms=tuple(CLIENT_SHARE * http_ms),
    )


def others_cores() -> float:
    """That this machine's processes take while nobody asks."""
    return psutil.cpu_percent(IDLE_S) / 100 * cores()


def describe(compared: Sequence[Compared]) -> str:
    """For people: a line a rate."""
    header = f"{'simulated':>9} {'measured':>9} {'(95 % of runs)':>17} {'off by':>6}"
    lines = [
        f"{'':19} {'p50, ms':>45} {'p99, ms':>45}",
        f"{'requests/s':>10} {'requests':>8}   {header}   {header}",
    ]
    for one in compared:
        parts = [
            f"{p.simulated:9.1f} {p.measured:9.1f} {f'{p.low:.1f} to {p.high:.1f}':>17} "
            f"{p.off_by:+6.0%}"
            for p in (one.p50_ms, one.p99_ms)
        ]
        lines.append(f"{one.rate_per_s:10g} {one.requests:8}   {'   '.join(parts)}")
    return "\n".join(lines)


def _station_as_measured(station: Station, found: Sequence[Profile]) -> Station:
    steps = [one.by_step[station.name] for one in found if station.name in one.by_step]
    _, _, compute_ms, hop_ms = np.concatenate(steps).T
    return replace(station, ms=tuple(compute_ms), hop_ms=float(np.median(hop_ms)))


def _own_steps_ms(found: Profile) -> np.ndarray:
    """Of each request, what the router does itself and calls a step."""
    return sum(
        (rows[:, 0] for rows in found.by_step.values() if np.isnan(rows[:, 2]).all()),
        np.zeros(found.requests),
    )


def _percentile(simulated_ms: float, sorted_ms: np.ndarray, percent: float) -> Percentile:
    """With an interval by order statistics, as if latencies were independent."""
    n = len(sorted_ms)
    low, high = binom.ppf((0.025, 0.975), n, percent / 100).astype(int)
    measured_ms = float(np.percentile(sorted_ms, percent))
    return Percentile(
        simulated_ms, measured_ms, float(sorted_ms[low]), float(sorted_ms[min(high, n - 1)])
    )
