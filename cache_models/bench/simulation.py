"""A served system, simulated: how long requests take, and who is busy.

1. Requests arrive, and each goes to the router that has fewest. A router is a process that does one
   thing at a time.
2. It asks the stages in turn, of two replicas the one that has fewer of its own questions: it knows
   of no others'. What waits at a replica is computed together, up to `max_batch_rows`, and nobody
   waits for others to come.
3. A stage answers for good with a probability; the others go on to the next.
4. Sampled requests run on to the end when they have been answered, where nobody wants the cores.

All that is done takes time of cores. Either every replica has cores of its own, as many as it has
threads, or all share those of one machine (processor sharing, the more urgent first).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from cache_models.bench.cores import (
    BACKGROUND,
    CLIENT,
    Cores,
    Job,
    OwnCores,
    Process,
    Steps,
)
from cache_models.bench.system import ROUTER, Station, System

WARM_UP = 0.1
"""Share of the requests that come before those that count, into an empty system."""
MAX_LATE = 3
"""Lookups in a row, after which a router leaves the stage alone but for one request at a time, and
the others miss there."""
LEFT_ALONE_MS = 100.0


@dataclass(frozen=True)
class Simulated:
    """
    Attributes:
        latency_ms: `(n,)`, of the requests that count.
        waited_ms: by station and for the routers, `(n,)` for all but computing and hops.
        busy: share of time in which a replica works, by station and for the routers.
    """

    latency_ms: np.ndarray
    waited_ms: Mapping[str, np.ndarray]
    busy: Mapping[str, float]

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latency_ms, percent))

    def slowest_wait_ms(self, name: str) -> float:
        """What the slowest 2 % of the requests have waited there, on the average."""
        late = self.latency_ms >= self.percentile_ms(98)
        return float(self.waited_ms[name][late].mean())


def poisson_ms(count: int, rate_per_s: float, seed: int) -> np.ndarray:
    """When each of so many requests arrives, in milliseconds, `(count,)`."""
    return np.random.default_rng(seed).exponential(1e3 / rate_per_s, count).cumsum()


def simulate(
    system: System,
    replicas: Mapping[str, int],
    due_ms: np.ndarray,
    seed: int = 0,
    cores: int | None = None,
) -> Simulated:
    """What requests that are due at these moments meet; the same whenever the seed is.

    Args:
        replicas: by station, and of `ROUTER`; 1 where nothing is said.
        due_ms: `(n,)`, rising.
        cores: that all share; None gives every replica cores of its own.
    """
    return _Run(system, replicas, due_ms, seed, cores).result()


class _Replica:
    """Of a station: what somebody waits for, and what nobody does."""

    def __init__(self, env: simpy.Environment, station: Station, cores: OwnCores | Cores):
        threads, rows = station.threads, station.max_batch_rows
        self.front = Process(env, cores, threads, rows, station.more_rows)
        self.background = Process(env, cores, urgency=BACKGROUND)


class _Router:
    """
    Attributes:
        requests: that it has.
        asked: by station and replica, its questions under way.
        late: by station, lookups in a row.
        asks_again_ms: by station, before when it leaves it alone.
    """

    def __init__(self, process: Process, replicas: Sequence[int]):
        self.process, self.requests = process, 0
        self.asked = [[0] * count for count in replicas]
        self.late, self.asks_again_ms = [0] * len(replicas), [0.0] * len(replicas)

    def asks(self, station: int, now_ms: float) -> bool:
        """Whether the next request asks it."""
        if self.late[station] < MAX_LATE:
            return True
        if now_ms < self.asks_again_ms[station]:
            return False
        self.asks_again_ms[station] = now_ms + LEFT_ALONE_MS
        return True

    def was_late(self, station: int, now_ms: float) -> None:
        self.late[station] += 1
        if self.late[station] >= MAX_LATE:
            self.asks_again_ms[station] = now_ms + LEFT_ALONE_MS


@dataclass(eq=False)
class _Call:
    """A question under way; who asked may drop it."""

    job: Job | None = None
    dropped: bool = False
    done: Any = field(default=None)

    def drop(self) -> None:
        self.dropped = True
        if self.job is not None:
            self.job.wanted = False


class _Run:
    def __init__(
        self,
        system: System,
        replicas: Mapping[str, int],
        due_ms: np.ndarray,
        seed: int,
        cores: int | None,
    ):
        self._system, self._due_ms = system, due_ms
        self._env = env = simpy.Environment()
        self._choice = random.Random(seed)
        place = OwnCores(env) if cores is None else Cores(env, cores, system.others_cores)
        self._client = Process(env, place, urgency=CLIENT)
        self._replicas = [
            [_Replica(env, station, place) for _ in range(replicas.get(station.name, 1))]
            for station in system.stations
        ]
        counts = [len(found) for found in self._replicas]
        self._routers = [
            _Router(Process(env, place), counts) for _ in range(replicas.get(ROUTER, 1))
        ]
        n, rng = len(due_ms), np.random.default_rng([seed, 1])
        self._router_ms = rng.choice(system.router_ms, n)
        self._client_ms = rng.choice(system.client_ms, n)
        self._ms = [rng.choice(s.ms, n) for s in system.stations]
        self._answers = [rng.random(n) < s.answers for s in system.stations]
        self._sampled = rng.random(n) < system.sampled
        self._latency_ms = np.full(n, np.nan)
        self._waited_ms = {
            name: np.zeros(n) for name in (ROUTER, *(s.name for s in system.stations))
        }

    def result(self) -> Simulated:
        env = self._env
        env.run(env.process(self._arrive()))
        counted = slice(int(WARM_UP * len(self._due_ms)), None)
        pools = {ROUTER: [router.process for router in self._routers]}
        for station, replicas in zip(self._system.stations, self._replicas, strict=True):
            pools[station.name] = [replica.front for replica in replicas]
        return Simulated(
            self._latency_ms[counted],
            {name: ms[counted] for name, ms in self._waited_ms.items()},
            {
                name: sum(process.busy_ms for process in pool) / len(pool) / env.now
                for name, pool in pools.items()
            },
        )

    def _arrive(self) -> Steps:
        env, requests = self._env, []
        for i, due_ms in enumerate(self._due_ms.tolist()):
            yield env.timeout(due_ms - env.now)
            requests.append(env.process(self._request(i)))
        yield env.all_of(requests)

    def _request(self, i: int) -> Steps:
        begin, half_ms = self._env.now, self._router_ms[i] / 2
        if self._client_ms[i]:
            yield self._client.do(self._client_ms[i]).done
        router = min(self._routers, key=lambda router: router.requests)
        router.requests += 1
        yield from self._routed(router, i, half_ms)
        stations = self._system.stations
        ahead: _Call | None = None
        answered_by = len(stations) - 1
        for k, station in enumerate(stations):
            if not router.asks(k, self._env.now):
                continue
            call = ahead or self._begin(router, i, k)
            ahead = None
            if self._system.speculative and station.is_lookup:
                ahead = self._begin(router, i, k + 1)
            yield (
                call.done | self._env.timeout(station.timeout_ms)
                if station.is_lookup
                else call.done
            )
            if call.done.is_alive:
                call.drop()
                router.was_late(k, self._env.now)
                continue
            router.late[k] = 0
            if self._answers[k][i]:
                if ahead is not None:
                    ahead.drop()
                answered_by = k
                break
        yield from self._routed(router, i, half_ms)
        router.requests -= 1
        self._latency_ms[i] = self._env.now - begin
        if self._sampled[i]:
            self._env.process(self._run_on(router, answered_by + 1))

    def _begin(self, router: _Router, i: int, k: int) -> _Call:
        call = _Call()
        call.done = self._env.process(self._ask(router, i, k, call))
        return call

    def _ask(self, router: _Router, i: int, k: int, call: _Call) -> Steps:
        """Station `k`, about request `i`."""
        station = self._system.stations[k]
        yield from self._routed(router, i, station.hop_ms / 4)
        if call.dropped:
            return
        replica = self._chosen(router, k)
        router.asked[k][replica] += 1
        call.job = self._replicas[k][replica].front.do(self._ms[k][i] + station.hop_ms / 2)
        yield call.job.done
        router.asked[k][replica] -= 1
        if call.dropped:
            return
        self._waited_ms[station.name][i] += call.job.waited_ms
        yield from self._routed(router, i, station.hop_ms / 4)

    def _routed(self, router: _Router, i: int, ms: float) -> Iterator[simpy.Event]:
        if ms:
            job = router.process.do(ms)
            yield job.done
            self._waited_ms[ROUTER][i] += job.waited_ms

    def _chosen(self, router: _Router, k: int) -> int:
        """Which replica of station `k` a router asks."""
        asked = router.asked[k]
        if self._system.stations[k].of_all:
            return asked.index(min(asked))
        one, other = self._choice.randrange(len(asked)), self._choice.randrange(len(asked))
        return one if asked[one] <= asked[other] else other

    def _run_on(self, router: _Router, first: int) -> Steps:
        for k, station in enumerate(self._system.stations[first:], first):
            if station.sampled_ms:
                replica = self._replicas[k][self._chosen(router, k)]
                yield replica.background.do(station.sampled_ms).done
