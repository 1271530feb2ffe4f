"""Run a comparison: see `workload.compare.cli` for its steps."""

import datetime
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import httpx
import numpy as np
import torch

from cache_models.errors import DataError
from cache_models.network.base_dnn import load
from cache_models.network.device import resolve
from cache_models.network.threads import cores
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from workload.client.client import Answers
from workload.compare import open_loop, report
from workload.compare.budget import GAP_S, budget
from workload.compare.closed_loop import client, in_turn, over_http
from workload.compare.contenders import Ground, busy_with_others, labelled, machine
from workload.compare.in_process import Local, best_threads
from workload.compare.report import describe, draw
from workload.compare.systems.bring_up import Settings, bring_up
from workload.compare.systems.catalogue import CASCADE, NONE, ORACLE, SYSTEMS, WHOLE, missing
from workload.traffic import streams
from workload.traffic.variation import Pictures

WARM_UP, PILOT = 20, 10
GUARD_S = 60.0
CAPACITY_S = 6.0
STOP_S = 30.0
TIMEOUT_S = 30.0
SATURATION_BLOCKS, SATURATION_SHARE = 3, 0.2
INITIAL_RATE_PER_S = 20.0


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    model: str
    store: Path | None
    data: str
    streams: list[str]
    classes: str
    systems: list[str]
    minutes: float
    requests: int | None
    in_a_row: int
    blocks: int | None
    block_seconds: float | None
    rate: float | None
    saturation: bool
    clients: int
    device: str
    threads: int | None
    seed: int
    out: Path | None
    picture: Path | None


def run(options: Options, folder: Path, command: str, began: float) -> str:
    """Compare, write JSON and picture, and return the tables.

    Args:
        folder: for what the systems write.
        began: `time.monotonic()` when the time that there is began.

    Raises:
        CacheModelsError, StreamError, StartError: nothing can be compared; says why.
    """
    if busy := busy_with_others():
        click.echo(busy, err=True)
    base, truth = load(options.model), load(options.model)  # slices of the first are moved about
    images, labels = labelled(options.data, base)
    store = Store(options.store or STORE)
    version = store.current()
    version.plan.check_base(base)
    device = resolve(options.device)
    threads = options.threads or best_threads(base, device, cores())
    torch.set_num_threads(threads)  # for what is made beforehand
    settings = Settings(base, store, version, str(device), threads, folder)
    lacking = {name: why for name in options.systems if (why := missing(name))}
    asked = [name for name in options.systems if name not in lacking]
    result = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "busy": busy,
        "model": options.model,
        "store": str(options.store or "default"),
        "classes": options.classes,
        "seed": options.seed,
        "device": str(device),
        "threads": threads,
    }
    served = [name for name in asked if SYSTEMS[name].server != NONE]
    with (
        bring_up(served, settings, images[0]) as (urls, late),
        client() as http,
    ):
        result["missing"] = lacking | late
        for name, why in result["missing"].items():
            click.echo(f"without {name}: {why}", err=True)
        if not urls:
            raise DataError("no system could be brought up, so nothing is compared")
        local = Local(base, version, device, threads) if "in-process" in asked else None
        contenders = {name: over_http(http, url) for name, url in urls.items()}
        if local:
            contenders |= {WHOLE: local.whole, CASCADE: local.cascade}
        ground = Ground(truth, images, labels, version.plan, urls, contenders, local)
        result |= {"reference": ground.reference, **_pilot(ground, options)}
        result["streams"] = {}
        for i, stream in enumerate(options.streams):
            left_s = began + 60 * options.minutes - STOP_S - time.monotonic()
            seconds = left_s / (len(options.streams) - i)
            result["streams"][stream] = _stream(ground, options, result, stream, seconds)
            result["stats"] = _stats(urls)
            _write(result, options)
    return describe(result)


def _pilot(ground: Ground, options: Options) -> dict:
    """Warm everything up, wait for the guards, and measure what the budget needs to know."""
    n = len(ground.images)
    pictures = [ground.images[-1 - i % n] for i in range(WARM_UP + PILOT)]
    in_turn(ground.contenders, pictures[:WARM_UP], options.seed)
    guards = _wait_for_guards(ground.urls)
    start = time.perf_counter()
    answers = _in_turn(ground, options, pictures[WARM_UP:])
    once_s = (time.perf_counter() - start) / max(1, len(pictures[WARM_UP:]))
    one_ms = float(np.nanmean(answers[ground.reference].latency_ms))
    if ground.local:
        ground.local.oracle()  # of the warm-up, which does not count
    url = ground.urls[ground.reference]
    count = max(2 * options.clients, round(CAPACITY_S / one_ms * 1e3))
    again = [ground.images[-1 - i % len(ground.images)] for i in range(count)]
    capacity, _ = open_loop.saturate(url, again, options.clients)
    return {"once_s": once_s, "guards": guards, "reference_capacity_per_s": capacity}


def _stream(ground: Ground, options: Options, result: dict, stream: str, seconds: float) -> dict:
    rate = options.rate or result["reference_capacity_per_s"] / 2
    once_s = result["once_s"]
    servers = len(ground.urls)
    if options.saturation:
        seconds *= 1 - SATURATION_SHARE
    base_s = ground.plan.expected.base_compute_ms / 1e3
    counts = budget(
        seconds,
        servers,
        once_s,
        base_s,
        rate,
        options.requests,
        options.blocks,
        options.block_seconds,
    )
    size = counts.block_requests(rate)
    total = counts.requests + counts.blocks * size
    click.echo(
        f"{stream}: {counts.requests} requests, {counts.blocks} blocks of {counts.block_s:.0f} s "
        f"at {rate:.1f} requests/s for each of {servers} systems",
        err=True,
    )
    labels = ground.labels
    if streams.by_answers(stream, labels, options.classes):
        labels = ground.truth(list(ground.images))
    if labels is None:
        labels = np.zeros(len(ground.images), int)
    made = streams.make(stream, total, labels, options.seed)
    pictures = list(Pictures(ground.images, made.items, made.rounds))
    truth = ground.truth(pictures)

    answers = _in_turn(ground, options, pictures[: counts.requests])
    if ground.local:
        answers[ORACLE] = ground.local.oracle()
    rest = range(counts.requests, total, size)
    rounds = [pictures[at : at + size] for at in rest]
    answers_open = open_loop.in_blocks(ground.urls, rounds, rate, options.seed, GAP_S)
    compute_ms, reference = ground.compute_ms, ground.reference
    found = {
        "counts": asdict(counts)
        | {"in_a_row": options.in_a_row, "rate_per_s": rate, "block_requests": size},
        "varied": made.varied,
        "closed": report.closed(
            answers, truth[: counts.requests], reference, compute_ms, options.in_a_row
        ),
        "open": report.in_blocks(
            answers_open, [truth[at : at + size] for at in rest], reference, compute_ms
        ),
        "tax": report.tax(answers, "gati", CASCADE, options.in_a_row),
    }
    if options.saturation:
        each_s = seconds * SATURATION_SHARE / (SATURATION_BLOCKS * servers)
        found["saturation"] = _saturation(ground, options, pictures, each_s)
    return found


def _in_turn(ground: Ground, options: Options, pictures: list[np.ndarray]) -> dict[str, Answers]:
    row = options.in_a_row
    return in_turn(ground.contenders, pictures, options.seed, ground.pauses_s(row), row)


def _saturation(
    ground: Ground, options: Options, pictures: list[np.ndarray], each_s: float
) -> dict[str, list[float]]:
    """Requests a second of every system, block by block, the systems in turn."""
    rates: dict[str, list[float]] = {name: [] for name in ground.urls}
    for k in range(SATURATION_BLOCKS):
        order = np.random.default_rng(options.seed + k).permutation(list(ground.urls))
        for name in order.tolist():
            count = round((rates[name] or [INITIAL_RATE_PER_S])[-1] * each_s)
            count = max(2 * options.clients, count)
            some = [pictures[i % len(pictures)] for i in range(k * count, (k + 1) * count)]
            rates[name].append(open_loop.saturate(ground.urls[name], some, options.clients)[0])
            time.sleep(GAP_S)
    return rates


def _wait_for_guards(urls: dict[str, str]) -> dict[str, bool]:
    """Whether the caches of each system with late binding are on and, where it retrains, its
    trainer has recorded the build's samples, after a bounded time without requests."""
    waiting = {name for name in urls if SYSTEMS[name].late_binding}
    on = dict.fromkeys(sorted(waiting), False)
    deadline = time.monotonic() + GUARD_S
    while waiting and time.monotonic() < deadline:
        for name, stats in _stats({name: urls[name] for name in waiting}).items():
            recorded = stats.get("retraining", {}).get("build_samples_recorded")
            if (recorded or not SYSTEMS[name].retrains) and stats.get("guard", {}).get(
                "caches"
            ) == "serve":
                on[name] = True
                waiting.remove(name)
        if waiting:
            time.sleep(1)
    for name in waiting:
        click.echo(
            f"{name}: guard off or build samples not recorded after {GUARD_S:.0f} s", err=True
        )
    return on


def _stats(urls: dict[str, str]) -> dict[str, dict]:
    """What each system with late binding says of itself, without its plan."""
    found = {}
    for name, url in urls.items():
        if not SYSTEMS[name].late_binding:
            continue
        try:
            stats = httpx.get(f"{url}/stats", timeout=TIMEOUT_S).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            stats = {"error": repr(error)}
        stats.pop("plan", None)
        found[name] = stats
    return found


def _write(result: dict, options: Options) -> None:
    """After every stream, so that what was measured is not lost with the next."""
    if options.out:
        partial_file = options.out.with_suffix(".partial")
        partial_file.write_text(json.dumps(result, indent=1) + "\n")
        partial_file.replace(options.out)
    if options.picture:
        draw(result, options.picture)
