"""Which number of threads, which wait policy of theirs and which batch sizes suit the slices and
caches of a plan, measured on the machine at hand."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

import torch
from tqdm import tqdm

from cache_models.bench.in_process import InProcess
from cache_models.cache.lookup import CacheLookup
from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.slice import Slice
from cache_models.network.threads import cores, thread_counts, use_threads
from cache_models.store.versions import CacheVersion

BATCHES = (1, 2, 4, 8, 16)
NEAR = 1.05
PAUSE_S = 0.1
"""Between calls, as between requests that miss: back to back, processor caches are warmer than in
service, and threads are still awake."""
REPETITIONS = 9
SPIN_COUNT = "GOMP_SPINCOUNT"
"""How often PyTorch's threads (GNU OpenMP) look for the next operation before they sleep; read when
PyTorch is loaded."""
SPINS = (0, 20_000, 50_000, 200_000)


class Setting(NamedTuple):
    """What a deployment computes with; one thread waits for nobody, and spins 0 times."""

    threads: int
    spins: int


class Call(NamedTuple):
    """Median milliseconds of a call, and of processor time that its threads spin after it."""

    ms: float
    spun_ms: float = 0.0


Measured = dict[Setting, dict[int, Call]]
"""By setting and batch size."""


@dataclass(frozen=True)
class Tuned:
    """What suits one deployment; `calls` at that setting, by batch size."""

    deployment: str
    setting: Setting
    batch_cap: int
    calls: dict[int, Call]


def tune(
    model: str, version: CacheVersion, device: str = "cpu", compiled: bool = False
) -> list[Tuned]:
    """Measure every partition and lookup of `version`, each alone; each wait policy takes a process
    of its own.

    Quickest at batch 1 wins, where what spins after a call, a share of the cores that the process
    whose turn is next cannot have, counts like the call; within 5 %, fewer threads and spins win.
    The batch cap is the smallest batch whose time a row is within 5 % of the least.

    Args:
        model: reference to the base DNN.
        compiled: partitions by torch.compile.

    Raises:
        ModelReferenceError: `model` cannot be followed.
        ArtifactError: the version was built for another base DNN.
        CompilationError: torch.compile does not work on this machine.
    """
    measured: dict[str, Measured] = {}
    for spins in tqdm(SPINS, desc="tune", unit="wait policy"):
        of_policy = with_spins(spins, _measure, spins, model, version, device, compiled)
        for name, by_setting in of_policy.items():
            measured.setdefault(name, {}).update(by_setting)
    return [choose(name, by_setting, cores()) for name, by_setting in measured.items()]


def with_spins(spins: int, function: Callable, *args):
    """`function(*args)` in a process whose threads spin so often."""
    before = os.environ.get(SPIN_COUNT)
    os.environ[SPIN_COUNT] = str(spins)
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(function, *args).result()
    finally:
        del os.environ[SPIN_COUNT]
        if before is not None:
            os.environ[SPIN_COUNT] = before


def choose(deployment: str, measured: Measured, machine_cores: int) -> Tuned:
    """The choice from what was measured.

    >>> one = {1: Call(10.0), 2: Call(18.0), 4: Call(35.5)}
    >>> two = {1: Call(8.0, spun_ms=6.0), 2: Call(15.0, 6.0), 4: Call(30.0, 6.0)}
    >>> chosen = choose("Partition0", {Setting(1, 0): one, Setting(2, 200_000): two}, 2)
    >>> chosen.setting, chosen.batch_cap
    (Setting(threads=1, spins=0), 2)
    """
    alone = {setting: calls[1] for setting, calls in measured.items()}
    costs = {setting: call.ms + call.spun_ms / machine_cores for setting, call in alone.items()}
    setting = min(setting for setting, cost in costs.items() if cost <= NEAR * min(costs.values()))
    by_row = {rows: call.ms / rows for rows, call in measured[setting].items()}
    cap = min(rows for rows, ms in by_row.items() if ms <= NEAR * min(by_row.values()))
    return Tuned(deployment, setting, cap, measured[setting])


def describe(tuned: Sequence[Tuned], compiled: bool = False) -> str:
    """A table, and what to write in `serve_config.yaml`; `compiled` as for `tune`."""
    lines = [
        f"{'':12}threads    spins   spun ms  batch cap"
        + "".join(f"{f'ms at {rows}':>10}" for rows in BATCHES)
    ]
    for one in tuned:
        threads, spins = one.setting
        lines.append(
            f"{one.deployment:12}{threads:7}{spins:9}{one.calls[1].spun_ms:10.2f}"
            f"{one.batch_cap:11}" + "".join(f"{one.calls[rows].ms:10.2f}" for rows in BATCHES)
        )
    lines += ["", "args:", "  overrides:"]
    for one in tuned:
        is_partition = one.deployment.startswith("Partition")
        device = "auto" if is_partition else "cpu"
        compile_too = ", compile: true" if is_partition and compiled else ""
        lines.append(
            f"    {one.deployment}: {{ device: {device}, threads: {one.setting.threads}, "
            f"max_batch_rows: {one.batch_cap}{compile_too} }}"
        )
    if waiting := [one for one in tuned if one.setting.threads > 1]:
        lines += ["deployments:"]
    for one in waiting:
        lines += [
            f"  - name: {one.deployment}",
            "    ray_actor_options: { num_cpus: 0.1, "
            f'runtime_env: {{ env_vars: {{ {SPIN_COUNT}: "{one.setting.spins}" }} }} }}',
        ]
    return "\n".join(lines)


def _measure(
    spins: int, model: str, version: CacheVersion, device: str, compiled: bool
) -> dict[str, Measured]:
    """By deployment, in a process whose threads spin so often."""
    base = load(model)
    version.plan.check_base(base)

    def measure() -> dict[str, dict[int, Call]]:
        calls = _calls(base, version, device, compiled)
        return {
            name: {rows: _paused(call(rows)) for rows in BATCHES} for name, call in calls.items()
        }

    measured: dict[str, Measured] = {}
    for threads in thread_counts(cores()):
        if threads == 1 and spins:
            continue
        with ThreadPoolExecutor(1, initializer=use_threads, initargs=(threads,)) as thread:
            for name, calls in thread.submit(measure).result().items():
                measured.setdefault(name, {})[Setting(threads, spins)] = calls
    return measured


def _calls(
    base: BaseDNN, version: CacheVersion, device: str, compiled: bool
) -> dict[str, Callable[[int], Callable[[], object]]]:
    """By deployment, what makes for a batch size the call to measure."""
    place = InProcess(base, version, device, compiled, lookup_device="cpu")

    def call(stage: Slice | CacheLookup, rows: int) -> Callable[[], object]:
        batch = stage.zeros(rows)
        return lambda: stage(batch)

    stages: dict[str, Slice | CacheLookup] = {**place.slices, **place.lookups}
    return {name: partial(call, stage) for name, stage in stages.items()}


def _paused(call: Callable[[], object]) -> Call:
    spent, spun = [], []
    with torch.inference_mode():
        for _ in range(2 + REPETITIONS):
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent.append(time.perf_counter() - start)
            busy = time.process_time()
            time.sleep(PAUSE_S)
            spun.append(time.process_time() - busy)
    return Call(statistics.median(spent[2:]) * 1e3, statistics.median(spun[2:]) * 1e3)
