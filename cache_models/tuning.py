"""Which number of threads and which batch sizes suit the slices and caches of a plan, measured on
the machine at hand."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from cache_models.base_dnn import BaseDNN
from cache_models.cutting import INPUT, cut
from cache_models.fast_cache import FastCache, InputFeatures
from cache_models.layout import channels_last
from cache_models.store import CacheVersion

BATCHES = (1, 2, 4, 8, 16)
NEAR = 1.05
PAUSE_S = 0.01
"""Between calls, as between requests: back to back, processor caches are warmer than in service."""
REPETITIONS = 9


@dataclass(frozen=True)
class Tuned:
    """What suits one deployment; `ms` are medians at the chosen threads, by batch size."""

    deployment: str
    threads: int
    batch_cap: int
    ms: dict[int, float]


def tune(
    base: BaseDNN, version: CacheVersion, device: str = "cpu", compiled: bool = False
) -> list[Tuned]:
    """Measure every partition and lookup of `version`, each alone.

    Fewer threads win unless more are 5 % quicker at batch 1. The batch cap is the smallest batch
    whose time a row is within 5 % of the least.

    Args:
        compiled: partitions by torch.compile.

    Raises:
        ArtifactError: the version was built for another base DNN.
        CompilationError: torch.compile does not work on this machine.
    """
    version.plan.check_base(base)
    before = torch.get_num_threads()
    measured: dict[str, dict[int, dict[int, float]]] = {}
    try:
        for threads in thread_counts(os.cpu_count() or 1):
            torch.set_num_threads(threads)
            for name, call in _calls(base, version, device, compiled).items():
                measured.setdefault(name, {})[threads] = {
                    rows: _paused_ms(call(rows)) for rows in BATCHES
                }
    finally:
        torch.set_num_threads(before)
    return [choose(name, by_threads) for name, by_threads in measured.items()]


def choose(deployment: str, measured: dict[int, dict[int, float]]) -> Tuned:
    """The choice from milliseconds by threads and batch size.

    >>> choose("Partition0", {1: {1: 10.0, 2: 18.0, 4: 35.5}, 2: {1: 9.8, 2: 15.0, 4: 30.0}})
    Tuned(deployment='Partition0', threads=1, batch_cap=2, ms={1: 10.0, 2: 18.0, 4: 35.5})
    """
    quickest = min(ms[1] for ms in measured.values())
    threads = min(count for count, ms in measured.items() if ms[1] <= NEAR * quickest)
    ms = measured[threads]
    least = min(spent / rows for rows, spent in ms.items())
    cap = min(rows for rows, spent in ms.items() if spent / rows <= NEAR * least)
    return Tuned(deployment, threads, cap, ms)


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4 and so on, and all cores.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    return sorted({2**i for i in range(cores.bit_length()) if 2**i <= cores} | {cores})


def describe(tuned: Sequence[Tuned], compiled: bool = False) -> str:
    """A table, and what to write under `args` in `serve_config.yaml`; `compiled` as for `tune`."""
    lines = [f"{'':12}threads  batch cap  " + "".join(f"{f'ms at {b}':>10}" for b in BATCHES)]
    for one in tuned:
        spent = "".join(f"{one.ms[rows]:10.2f}" for rows in BATCHES)
        lines.append(f"{one.deployment:12}{one.threads:7}  {one.batch_cap:9}  {spent}")
    lines += ["", "overrides:"]
    for one in tuned:
        is_partition = one.deployment.startswith("Partition")
        device = "auto" if is_partition else "cpu"
        compile_too = ", compile: true" if is_partition and compiled else ""
        lines.append(
            f"  {one.deployment}: {{ device: {device}, threads: {one.threads}, "
            f"max_batch_rows: {one.batch_cap}{compile_too} }}"
        )
    return "\n".join(lines)


def _calls(
    base: BaseDNN, version: CacheVersion, device: str, compiled: bool
) -> dict[str, Callable[[int], Callable[[], object]]]:
    """By deployment, what makes for a batch size the call to measure."""
    plan, model = version.plan, cut(base)
    calls: dict[str, Callable[[int], Callable[[], object]]] = {}
    slices = model.fast_slices(plan.cut_points, device, compiled)
    for i, (start, part) in enumerate(zip([None, *plan.cut_points], slices, strict=True)):
        shape = model.input_shape_of(start)

        def run(rows, part=part, shape=shape):
            activation = channels_last(torch.randn(rows, *shape, device=device))
            return lambda: part(activation.clone())

        if i >= int(plan.asks_first):  # where there is a cache at the input, slice 0 is nothing
            calls[f"Partition{i - int(plan.asks_first)}"] = run
    for i, record in enumerate(plan.caches):
        cache = FastCache(version.load(i))
        prepared = InputFeatures(base.description) if record.cut_point == INPUT else None
        preprocessing = base.description.preprocessing
        if prepared and preprocessing:
            channels, (height, width) = len(preprocessing.mean), preprocessing.crop_size
            shape, dtype = (channels, height // 2, width // 2), torch.uint8
        elif prepared:
            shape, dtype = base.description.input_shape, torch.float32
        else:
            shape, dtype = record.feature_shape, torch.float16

        def look_up(rows, cache=cache, prepared=prepared, shape=shape, dtype=dtype):
            batch = torch.zeros(rows, *shape, dtype=dtype)
            return lambda: cache(prepared(batch) if prepared else batch)

        calls[f"Lookup{i}"] = look_up
    return calls


def _paused_ms(call: Callable[[], object]) -> float:
    spent = []
    with torch.inference_mode():
        for repetition in range(2 + REPETITIONS):
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repetition >= 2:
                spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1e3
