"""The commands that kill, that ask for too much, and that ask for long."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from cache_models.paths import UserPath
from workload.chaos.processes import KINDS
from workload.options import data_option, model_option, seed_option, url_option

NODE = "node"
BESIDE_S = 30.0
"""Of normal traffic, before and after an overload."""

config_option = click.option(
    "--config",
    type=UserPath(exists=True, dir_okay=False),
    default="serve_config.yaml",
    show_default=True,
    help="Of the server that is started for this, and ended.",
)
replicas_option = click.option(
    "--replicas", type=click.IntRange(min=1), help="Of every deployment."
)


rate_option = click.option(
    "--rate",
    "rate_per_s",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second, Poisson.",
)


def steady_traffic(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a command that sends it to a server of its own and knows the right answers."""
    options = url_option, config_option, replicas_option, model_option, data_option, rate_option
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@steady_traffic
@click.option("--seconds", default=60.0, show_default=True, help="Of kills.")
@click.option("--every", "every_s", default=1.0, show_default=True, help="Seconds to the next.")
@click.option(
    "--kinds",
    default=",".join(kind for kind in KINDS if kind != NODE),
    show_default=True,
    help="Who may be killed.",
)
@seed_option
@click.option("--out", type=UserPath(), help="The table, as JSON.")
def chaos(
    url: str,
    config: Path,
    replicas: int | None,
    model: str,
    data: str,
    rate_per_s: float,
    seconds: float,
    every_s: float,
    kinds: str,
    seed: int,
    out: Path | None,
) -> None:
    """Start a server, send it traffic, kill one of its processes every so often, and say what
    became of the requests."""
    from workload.chaos import run, tally
    from workload.run.files import write_json
    from workload.run.stream import open_for

    opened = open_for(data, None, click.echo)
    truth = run.truth_of(model, opened.samples)
    with (
        tempfile.TemporaryDirectory() as folder,
        run.served(url, config, replicas, Path(folder)) as processes,
    ):
        rows = run.chaos(
            url,
            processes,
            opened.samples,
            truth,
            rate_per_s,
            seconds,
            kinds.split(","),
            every_s,
            seed,
        )
    if out:
        write_json(out, {"rows": tally.as_json(rows)})
    click.echo(tally.describe(rows))


@click.command()
@url_option
@config_option
@replicas_option
@data_option
@click.option("--from", "rate_per_s", default=20.0, show_default=True, help="Rate to begin with.")
@click.option("--seconds", default=60.0, show_default=True, help="Of three times the capacity.")
@click.option(
    "--apart", is_flag=True, help="The client on a core of its own, which the server lacks."
)
@seed_option
@click.option("--out", type=UserPath(), help="The figures, as JSON.")
def overload(
    url: str,
    config: Path,
    replicas: int | None,
    data: str,
    rate_per_s: float,
    seconds: float,
    apart: bool,
    seed: int,
    out: Path | None,
) -> None:
    """Start a server, find what it can answer, send it three times as much, and say what became of
    the requests and of the memory."""
    from workload.chaos import overload as over
    from workload.chaos import run
    from workload.chaos.memory import Memory, as_table
    from workload.run.files import write_json
    from workload.run.stream import open_for

    samples = open_for(data, None, click.echo).samples
    with (
        tempfile.TemporaryDirectory() as folder,
        run.apart(apart) as move,
        run.served(url, config, replicas, Path(folder)) as processes,
        Memory(processes) as memory,
    ):
        move()
        phases_s = (BESIDE_S, seconds, BESIDE_S)
        found = over.overload(url, samples, rate_per_s, phases_s, seed, click.echo)
    if out:
        write_json(out, found.as_json() | {"memory": memory.taken})
    click.echo(over.describe(found))
    click.echo(as_table(memory.rows()))


@click.command()
@steady_traffic
@click.option("--minutes", default=20.0, show_default=True)
@seed_option
@click.option("--out", type=UserPath(), help="The figures, as JSON.")
def soak(
    url: str,
    config: Path,
    replicas: int | None,
    model: str,
    data: str,
    rate_per_s: float,
    minutes: float,
    seed: int,
    out: Path | None,
) -> None:
    """Start a server, send it steady traffic for long, and say what became of the requests and of
    the memory, which should not grow in the end."""
    from workload.chaos import run, tally
    from workload.chaos import soak as long
    from workload.chaos.memory import Memory, as_table
    from workload.run.files import write_json
    from workload.run.stream import open_for

    samples = open_for(data, None, click.echo).samples
    truth = run.truth_of(model, samples)
    with (
        tempfile.TemporaryDirectory() as folder,
        run.served(url, config, replicas, Path(folder)) as processes,
        Memory(processes) as memory,
    ):
        rows = long.soak(url, samples, truth, rate_per_s, 60 * minutes, seed)
    if out:
        write_json(out, {"rows": tally.as_json(rows), "memory": memory.taken})
    click.echo(long.describe(rows))
    click.echo(as_table(memory.rows()))
