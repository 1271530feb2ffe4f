"""`python -m workload`: send traffic to a server and compare."""

import json
import os
from pathlib import Path

import click

from workload.compare.cli import compare
from workload.options import classes_option
from workload.traffic.arrivals import KNOWN
from workload.traffic.parameters import ParameterError
from workload.traffic.streams import STREAMS


@click.group()
def cli() -> None:
    """Send traffic to a running server."""


cli.add_command(compare)

url_option = click.option("--url", default="http://127.0.0.1:8000", show_default=True)


@cli.command()
@url_option
@click.option("--images", default=2000, show_default=True, help="So many of the sample.")
@click.option("--skip", default=0, show_default=True, help="So many at its beginning.")
def agreement(url: str, images: int, skip: int) -> None:
    """Ask about the sample images with caches on and off in turn; compare with the base DNN."""
    from cache_models.bench.evaluation import base_answers
    from cache_models.network.base_dnn import load
    from cache_models.zoo.fashion import sample
    from workload.run.agreement import ask, report

    pictures, labels = (part[skip : skip + images] for part in sample())
    answers = base_answers(load("default"), pictures)
    click.echo(report(ask(url, pictures), answers, labels))


model_option = click.option(
    "--model", default="default", show_default=True, help="As it is served."
)
data_option = click.option(
    "--data",
    default="sample",
    show_default=True,
    help="sample, test (all test images of Fashion-MNIST), a folder of images, a video file, or "
    "an .npy or .npz of images.",
)
stream_option = click.option(
    "--stream",
    default="iid",
    show_default=True,
    help=f"{', '.join(STREAMS)}; with parameters: locality:classes=3,mean_stay=2000.",
)
requests_option = click.option(
    "--requests",
    type=click.IntRange(min=1),
    help="[default: 2000; of a video or a replay, all]",
)
arrivals_option = click.option(
    "--arrivals",
    help=f"{', '.join(KNOWN)} (the stream's own times); with parameters: "
    "bursty:factor=5,share=0.2,mean_burst_s=5.  [default: fixed with --rate, else closed]",
)
rate_option = click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second, of all arrivals but closed and replay.",
)
seed_option = click.option("--seed", default=0, show_default=True)


@cli.command()
@model_option
@data_option
@stream_option
@classes_option
@arrivals_option
@rate_option
@requests_option
@seed_option
@click.option("--trace", type=click.Path(path_type=Path), help="Write it for --stream replay.")
def stream(
    model: str,
    data: str,
    stream: str,
    classes: str,
    arrivals: str | None,
    rate_per_s: float | None,
    requests: int | None,
    seed: int,
    trace: Path | None,
) -> None:
    """Make a stream, say how much locality it has, and write it to a trace; send nothing."""
    from cache_models.errors import CacheModelsError
    from cache_models.network.base_dnn import load
    from workload.run import run

    try:
        base = load(model)
        opened = run.open_for(data, base, click.echo)
        made, present = run.make_stream(opened, data, stream, requests, seed, base, classes)
        click.echo(run.describe(stream, seed, made, present))
        if trace:
            run.write_trace(trace, made, arrivals or "fixed", rate_per_s, seed)
    except (ParameterError, CacheModelsError) as error:
        raise click.UsageError(str(error)) from error


@cli.command()
@url_option
@model_option
@data_option
@stream_option
@classes_option
@arrivals_option
@rate_option
@click.option(
    "--clients",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of arrivals closed; each sends when its last request has been answered.",
)
@click.option(
    "--in-flight",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="At most, of the other arrivals; a request that has to wait is late all the same.",
)
@requests_option
@click.option(
    "--skip",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="So many at the start do not count.",
)
@seed_option
@click.option(
    "--protocol",
    type=click.Choice(["image", "oip"]),
    default="image",
    show_default=True,
    help="Raw PNG bodies, or the Open Inference Protocol's JSON tensors.",
)
@click.option(
    "--served-as", default="default", show_default=True, help="With oip: the model's served name."
)
@click.option(
    "--timeout-s", default=30.0, show_default=True, type=click.FloatRange(min=0, min_open=True)
)
@click.option(
    "--ask-again",
    type=click.FloatRange(0, 1, min_open=True),
    help="Judge by this share, asked again with caches off, not by --model computed beforehand.",
)
@click.option(
    "--static",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A store: what its current caches, left as they are, would have answered, offline.",
)
@click.option(
    "--window-s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds of a time window in results and picture.",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Write what is sent when, which --stream replay:file=<trace> sends again.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The results, as JSON.")
@click.option("--picture", type=click.Path(path_type=Path), help="Of what happened over time.")
def run(out: Path | None, picture: Path | None, arrivals: str | None, **settings) -> None:
    """Send a stream, and compare every answer with the base DNN's own."""
    from cache_models.errors import CacheModelsError
    from workload.run import run
    from workload.run.plot import draw
    from workload.run.report import describe

    if settings["static"] and settings["ask_again"]:
        raise click.UsageError("--static needs the base DNN: leave --ask-again out")
    arrivals = arrivals or ("fixed" if settings["rate_per_s"] else "closed")
    try:
        result = run.run(run.Settings(arrivals=arrivals, **settings))
    except (ParameterError, CacheModelsError) as error:
        raise click.UsageError(str(error)) from error
    if out:
        partial = out.with_name(f".{out.name}.{os.getpid()}")
        partial.write_text(json.dumps(result, indent=1) + "\n")
        partial.replace(out)
    if picture:
        draw(result, picture)
    click.echo(describe(result))


@cli.command()
@url_option
@model_option
@click.option(
    "--store", type=click.Path(path_type=Path), help="As it is served; default: the shipped one."
)
@data_option
@stream_option
@click.option("--requests", default=500, show_default=True, type=click.IntRange(min=50))
@seed_option
def profile(
    url: str, model: str, store: Path | None, data: str, stream: str, requests: int, seed: int
) -> None:
    """Print where the milliseconds of a request go, and the serving tax."""
    from cache_models.bench.in_process import InProcess
    from cache_models.errors import CacheModelsError
    from cache_models.network.base_dnn import load
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE
    from workload.run import run
    from workload.run.profile import describe, in_process_ms, profile
    from workload.traffic.variation import Pictures

    try:
        base = load(model)
        opened = run.open_for(data, base, click.echo)
        made, _ = run.make_stream(opened, data, stream, requests, seed, base)
        pictures = Pictures(opened.images, made.items, made.rounds)
        found = profile(url, pictures)
        alone = in_process_ms(InProcess(base, Store(store or STORE).current()), pictures)
    except (ParameterError, CacheModelsError) as error:
        raise click.UsageError(str(error)) from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(describe(found, alone))


@cli.command()
@url_option
@data_option
@stream_option
@click.option(
    "--rate",
    "rate_per_s",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second, Poisson.",
)
@click.option("--requests", default=6000, show_default=True, type=click.IntRange(min=1))
@seed_option
def rounds(url: str, data: str, stream: str, rate_per_s: float, requests: int, seed: int) -> None:
    """Ask for rounds of retraining beside a stream, and say what they cost its requests.

    Needs the server's GATI_ADMIN_TOKEN.
    """
    from cache_models.errors import CacheModelsError
    from workload.run import run
    from workload.run.rounds import measure
    from workload.traffic import arrivals
    from workload.traffic.variation import Pictures

    try:
        opened = run.open_for(data, None, click.echo)
        made, _ = run.make_stream(opened, data, stream, requests, seed, None)
        due_s = arrivals.make("poisson", requests, rate_per_s, seed, None)
        pictures = Pictures(opened.images, made.items, made.rounds)
        found = measure(url, os.environ.get("GATI_ADMIN_TOKEN", ""), pictures, due_s)
    except (ParameterError, CacheModelsError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(str(found))


if __name__ == "__main__":
    cli(prog_name="python -m workload")
