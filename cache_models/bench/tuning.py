"""Which engine, how many threads and which batch sizes suit the partitions and lookups of a
version, measured on the machine at hand."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

from tqdm import tqdm

from cache_models.cache.lookup import CacheLookup
from cache_models.errors import EngineError
from cache_models.network.cost import median_ms
from cache_models.network.engine.interface import EngineName
from cache_models.network.slice import Slice
from cache_models.network.stages import Stage
from cache_models.network.threads import cores, thread_counts
from cache_models.store.exporting import ensure
from cache_models.store.graphs import lookup_engine, partition_engine
from cache_models.store.version import CacheVersion

BATCHES = (1, 2, 4, 8, 16)
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
NEAR = 1.05
PAUSE_S = 0.1
"""Between calls, as between requests that miss: back to back, processor caches are warmer than in
service, and threads are still awake."""
REPETITIONS = 9


class Setting(NamedTuple):
    """What a deployment computes with; those that are preferred where nothing else decides are
    smaller.

    Attributes:
        threads: within one operation.
        rank: of its engine among `ENGINES`.
    """

    threads: int
    rank: int

    @property
    def engine(self) -> EngineName:
        return ENGINES[self.rank]


Measured = dict[Setting, dict[int, float]]
"""Median milliseconds of a call, by setting and batch size."""


@dataclass(frozen=True)
class Tuned:
    """What suits one deployment.

    Attributes:
        chosen: one of `measured`.
        batch_cap: rows at most in a batch.
    """

    deployment: str
    chosen: Setting
    batch_cap: int
    measured: Measured


def tune(
    store: Path | str, version: CacheVersion, device: str = "cpu", compiled: bool = False
) -> list[Tuned]:
    """Measure every partition and lookup of `version`, each alone, with every number of threads in
    every engine that can run it.

    Args:
        store: that `version` is in; its graphs are made if they are not there.
        device: of partitions; lookups are measured on the CPU.
        compiled: also partitions by torch.compile, which takes minutes.

    Raises:
        ModelReferenceError: the version's base DNN cannot be loaded.
        ArtifactError: it has other weights than the version was built for.
        EngineError: torch.compile does not work on this machine.
    """
    ensure(store, version)
    left_out = set() if compiled else {"compile"}
    if device == "cpu":
        left_out.add("cuda_graphs")
    ranks = [rank for rank, engine in enumerate(ENGINES) if engine not in left_out]
    settings = [Setting(n, rank) for n in thread_counts(cores()) for rank in ranks]
    steps = [
        (stage, setting)
        for stage in version.plan.stages()
        for setting in settings
        if not (stage.is_lookup and setting.engine in ("compile", "cuda_graphs"))
    ]
    measured: dict[str, Measured] = {}
    for stage, setting in tqdm(steps, desc="tune", unit="setting"):
        with ThreadPoolExecutor(1) as thread:  # PyTorch's threads belong to the one that asks
            ms = thread.submit(_measure, store, version, stage, setting, device).result()
        if ms is not None:
            measured.setdefault(stage.name, {})[setting] = ms
    return [choose(name, of_stage) for name, of_stage in measured.items()]


def choose(deployment: str, measured: Measured) -> Tuned:
    """The choice from what was measured: quickest at batch 1 wins; within 5 %, fewer threads, and
    then ONNX Runtime, which needs least memory. The batch cap is the smallest batch whose time a
    row is within 5 % of the least.

    >>> one = {1: 10.0, 2: 18.0, 4: 35.5}
    >>> two = {1: 9.8, 2: 15.0, 4: 30.0}
    >>> tuned = choose("Partition0", {Setting(1, 0): one, Setting(2, 0): two})
    >>> tuned.chosen.threads, tuned.chosen.engine, tuned.batch_cap
    (1, 'onnxruntime', 2)
    """
    alone = {setting: ms[1] for setting, ms in measured.items()}
    chosen = min(setting for setting, ms in alone.items() if ms <= NEAR * min(alone.values()))
    by_row = {rows: ms / rows for rows, ms in measured[chosen].items()}
    cap = min(rows for rows, ms in by_row.items() if ms <= NEAR * min(by_row.values()))
    return Tuned(deployment, chosen, cap, measured)


def describe(tuned: Sequence[Tuned]) -> str:
    """A table of what was measured, and what to write in `serve_config.yaml`."""
    header = "".join(f"{f'ms at {rows}':>10}" for rows in BATCHES)
    lines = [f"{'':12}{'engine':12}threads{header}"]
    for one in tuned:
        for setting, ms in sorted(one.measured.items(), key=lambda item: item[0][::-1]):
            mark = f"  chosen, up to {one.batch_cap} rows" if setting == one.chosen else ""
            lines.append(
                f"{one.deployment:12}{setting.engine:12}{setting.threads:7}"
                + "".join(f"{ms[rows]:10.2f}" for rows in BATCHES)
                + mark
            )
    lines += ["", "args:", "  overrides:"]
    for one in tuned:
        device = "auto" if one.deployment.startswith("Partition") else "cpu"
        lines.append(
            f"    {one.deployment}: {{ device: {device}, threads: {one.chosen.threads}, "
            f"max_batch_rows: {one.batch_cap}, engine: {one.chosen.engine} }}"
        )
    return "\n".join(lines)


def _measure(
    store: Path | str, version: CacheVersion, stage: Stage, setting: Setting, device: str
) -> dict[int, float] | None:
    """By batch size; None where the engine cannot run the stage."""
    about = version.plan.description
    try:
        if stage.is_lookup:
            engine = lookup_engine(version, stage.index, setting.engine, setting.threads)
        else:
            engine = partition_engine(
                store, version.plan, stage, setting.engine, setting.threads, device
            )
    except EngineError:  # no graph, or no ONNX Runtime for the device
        return None
    asked = (
        CacheLookup(stage, about, engine, None) if stage.is_lookup else Slice(stage, about, engine)
    )
    pause = partial(time.sleep, PAUSE_S)
    return {
        rows: median_ms(partial(asked, asked.zeros(rows)), REPETITIONS, warm_up=2, before=pause)
        for rows in BATCHES
    }
