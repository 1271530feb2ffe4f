"""`python -m workload compare`: bring systems up on this machine, send all of them the same
requests, and say how many times faster than plain Ray Serve each is.

1. Make what is missing on disk: the cascade's CNN, copies of the store.
2. Bring all systems up; those that fail are named, and the rest goes on.
3. Warm up, and measure one request to each and plain's capacity, from which the time left says
   how much to send.
4. Of every stream: closed loop, a few requests to each system in turn; then open loop, one system
   at a time, in blocks at half of plain's capacity.
5. If asked for, measure the systems with MLPerf LoadGen and wrk.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from cache_models.paths import UserPath
from workload.compare.options import Options
from workload.compare.systems.catalogue import BY_DEFAULT, SYSTEMS
from workload.options import (
    classes_option,
    model_option,
    no_keys_option,
    seed_option,
    store_option,
)
from workload.traffic.streams import STREAMS


@click.command()
@model_option
@store_option
@click.option(
    "--data",
    default="sample",
    show_default=True,
    help="As for run.",
)
@click.option("--streams", default="iid,locality:classes=3,mean_stay=2000", show_default=True)
@classes_option
@click.option(
    "--systems",
    help=f"Of {', '.join(SYSTEMS)}. Default: of {', '.join(BY_DEFAULT)} all that the installed "
    "extras allow.",
)
@no_keys_option
@click.option("--minutes", default=18.0, show_default=True, help="In all; says how much is sent.")
@click.option("--requests", type=click.IntRange(1), help="Of the closed loop, a system and stream.")
@click.option(
    "--requests-per-turn",
    "--in-a-row",
    default=10,
    show_default=True,
    type=click.IntRange(1),
    help="Requests of the closed loop to one system before the next has its turn.",
)
@click.option("--blocks", type=click.IntRange(1), help="Of the open loop, a system and stream.")
@click.option("--block-seconds", type=click.FloatRange(1), help="Default: up to 30.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Of the open loop, a second.")
@click.option("--saturation", is_flag=True, help="Also measure throughput at saturation.")
@click.option(
    "--loadgen",
    is_flag=True,
    help="Also measure with MLPerf LoadGen (the extra `loadgen`), and with wrk where it is "
    "installed, in a third of the time.",
)
@click.option("--clients", default=8, show_default=True, help="Of the saturation.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or auto.")
@click.option("--threads", type=click.IntRange(1), help="Default: what is quickest.")
@seed_option
@click.option("--out", type=UserPath(), help="The results, as JSON.")
@click.option("--picture", type=UserPath())
@click.option(
    "--logs",
    type=UserPath(),
    help="Keep what the systems wrote there, in a folder of its own for each run.",
)
def compare(streams: str, systems: str | None, logs: Path | None, **options: Any) -> None:
    """Bring systems up on this machine, and send all of them the same requests."""
    # As Ray does for its replicas, so for all: where a base DNN runs in PyTorch, threads are set
    # explicitly later, but OpenMP's spin longer if this was not set before PyTorch is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from workload.compare.run import run

    named = options | {"streams": split_streams(streams), "systems": split_systems(systems)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gati-compare-") as temporary:
        folder = Path(temporary)
        if logs:
            logs.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y-%m-%d-%H.%M-"), dir=logs))
        command = " ".join(["python -m workload", *sys.argv[1:]])
        click.echo(run(Options(**named), folder, command, began))


def split_streams(text: str) -> list[str]:
    """`iid,locality:classes=3,mean_stay=2000` → `iid` and `locality:classes=3,mean_stay=2000`.

    Raises:
        click.UsageError: the first names no stream.
    """
    found: list[str] = []
    for part in filter(None, text.split(",")):
        if part.partition(":")[0] in STREAMS:
            found.append(part)
        elif found and "=" in part:
            found[-1] += f",{part}"
        else:
            raise click.UsageError(f"--streams: {part!r} is none of {', '.join(STREAMS)}")
    if not found:
        raise click.UsageError(f"--streams is empty; it may be {', '.join(STREAMS)}")
    return list(dict.fromkeys(found))


def split_systems(text: str | None) -> list[str]:
    """In the order of the catalogue; those that are compared by default where none is named."""
    asked = BY_DEFAULT if text is None else list(filter(None, text.split(",")))
    if unknown := [name for name in asked if name not in SYSTEMS]:
        raise click.UsageError(f"--systems: {', '.join(unknown)} are none of {', '.join(SYSTEMS)}")
    if not asked:
        raise click.UsageError(f"--systems is empty; it may be {', '.join(SYSTEMS)}")
    return [name for name in SYSTEMS if name in asked]
