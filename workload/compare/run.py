"""Run a comparison: see `workload.compare.cli` for its steps."""

import datetime
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch

from cache_models.errors import DataError
from cache_models.network.base_dnn import load
from cache_models.network.device import resolve
from cache_models.network.threads import cores
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from workload.compare.closed_loop import Contender, http_client, over_http
from workload.compare.describe import describe
from workload.compare.in_process import InProcessContenders, best_threads
from workload.compare.machine import busy_with_others, machine
from workload.compare.measure import measure, pilot, rate_per_s
from workload.compare.options import Options
from workload.compare.plot import draw
from workload.compare.systems import graphs, stores
from workload.compare.systems.applications import Settings
from workload.compare.systems.bring_up import bring_up
from workload.compare.systems.catalogue import CASCADE, NONE, SYSTEMS, WHOLE, missing
from workload.compare.systems.stats import stats
from workload.compare.testbed import Testbed, labelled
from workload.compare.tools import loadgen, measured
from workload.run.files import write_json

STOP_S = 30.0
LOADGEN_SHARE = 1 / 3
"""Of the time that is left when all systems are up."""


def run(options: Options, folder: Path, command: str, began: float) -> str:
    """Compare, write JSON and picture, and return the tables.

    Args:
        folder: for what the systems write.
        began: `time.monotonic()` when the time that there is began.

    Raises:
        CacheModelsError, WorkloadError: nothing can be compared; says why.
    """
    if options.loadgen:
        loadgen.check_installed()
    if busy := busy_with_others():
        click.echo(busy, err=True)
    base = load(options.model)
    data = labelled(options.data, base)
    store = Store(options.store or STORE)
    version = store.current()
    version.plan.check_base(base)
    device = resolve(options.device)
    whole = folder / "whole"
    graphs.give(stores.without_caches(version, whole), whole)
    threads = options.threads or best_threads(whole, device, cores())
    torch.set_num_threads(threads)  # for what is made beforehand
    settings = Settings(base, store, version, whole, device, threads, folder)
    lacking = {name: why for name in options.systems if (why := missing(name))}
    asked = [name for name in options.systems if name not in lacking]
    served = [name for name in asked if SYSTEMS[name].server != NONE]
    with bring_up(served, settings, data.samples[0]) as (urls, late), http_client() as client:
        lacking |= late
        for name, why in lacking.items():
            click.echo(f"without {name}: {why}", err=True)
        if not urls:
            raise DataError("no system could be brought up, so nothing is compared")
        contenders: dict[str, Contender] = {
            name: over_http(client, url) for name, url in urls.items()
        }
        in_process = None
        if WHOLE in asked:
            in_process = InProcessContenders(base, version, device, threads)
            contenders |= {WHOLE: in_process.whole, CASCADE: in_process.cascade}
        testbed = Testbed(base, data, version.plan, urls, contenders, in_process)
        known = pilot(testbed, options)
        found: dict[str, Any] = {}
        result = {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "busy": busy,
            "model": options.model,
            "store": str(options.store or "default"),
            "classes": options.classes,
            "keys": not options.no_keys,
            "seed": options.seed,
            "device": device,
            "threads": threads,
            "missing": lacking,
            "reference": testbed.reference,
            **asdict(known),
            "streams": found,
        }
        ends = began + 60 * options.minutes - STOP_S
        loadgen_s = LOADGEN_SHARE * (ends - time.monotonic()) if options.loadgen else 0.0
        for i, stream in enumerate(options.streams):
            left_s = ends - loadgen_s - time.monotonic()
            seconds = left_s / (len(options.streams) - i)
            found[stream] = measure(testbed, options, known, stream, seconds)
            result["stats"] = stats(urls)
            _write(result, options)
        if options.loadgen:
            result["tools"] = measured.measure(
                urls,
                data.samples,
                rate_per_s(options, known),
                known.once_s,
                loadgen_s,
                folder,
                options.seed,
            )
            _write(result, options)
    return describe(result)


def _write(result: dict[str, Any], options: Options) -> None:
    """After every stream, so that what was measured is not lost with the next."""
    if options.out:
        write_json(options.out, result)
    if options.picture:
        draw(result, options.picture)
