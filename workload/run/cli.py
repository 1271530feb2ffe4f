"""The commands that send traffic to one running server."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from cache_models.paths import UserPath
from workload.errors import ParameterError
from workload.options import (
    arrivals_option,
    classes_option,
    data_option,
    model_option,
    no_keys_option,
    rate_option,
    requests_option,
    seed_option,
    store_option,
    stream_option,
    url_option,
)


@click.command()
@url_option
@click.option("--images", default=2000, show_default=True, help="So many of the sample.")
@click.option("--skip", default=0, show_default=True, help="So many at its beginning.")
def agreement(url: str, images: int, skip: int) -> None:
    """Ask about the sample images with caches on and off in turn; compare with the base DNN."""
    from cache_models.network.base_dnn import load
    from cache_models.zoo.fashion import sample
    from workload.client.truth import base_answers
    from workload.run.agreement import ask, report

    pictures, labels = (part[skip : skip + images] for part in sample())
    answers = base_answers(load("default"), pictures)
    click.echo(report(ask(url, pictures), answers, labels))


@click.command()
@model_option
@data_option
@stream_option
@classes_option
@arrivals_option
@rate_option
@requests_option
@seed_option
@click.option("--trace", type=UserPath(), help="Write it for --stream replay.")
@click.option("--picture", type=UserPath(), help="Of what is sent, early and late.")
@click.option("--keep", type=UserPath(), help="Write the requests to that folder, to build on.")
@click.option(
    "--answers/--no-answers",
    default=True,
    show_default=True,
    help="Ask the base DNN about every request, to say how often its answer changes.",
)
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
    picture: Path | None,
    keep: Path | None,
    answers: bool,
) -> None:
    """Make a stream, say how much locality it has, and write it to a trace; send nothing."""
    from cache_models.network.base_dnn import load
    from workload.run.stream import answered, describe, due_s, make_stream, open_for
    from workload.traffic.kept import keep as keep_samples
    from workload.traffic.sheet import draw
    from workload.traffic.trace import write as write_trace

    base = load(model)
    opened = open_for(data, base, click.echo)
    made = make_stream(opened, data, stream, requests, seed, base, classes)
    keys = made.stream.keys
    timed = trace or (keep and keys is not None)
    times_s = due_s(made.stream, arrivals or "fixed", rate_per_s, seed) if timed else None
    if answers:
        made = answered(made, base, opened)
    click.echo(describe(stream, seed, made))
    if picture:
        draw(made.stream.samples(opened.samples), picture)
    if keep:
        keep_samples(made.stream.samples(opened.samples), keep, keys, times_s)
    if trace and times_s is not None:
        write_trace(trace, made.stream.trace(times_s))


@click.command()
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
    type=click.Choice(["predict", "oip"]),
    default="predict",
    show_default=True,
    help="PNG, WAV or text as the body of /predict, or the Open Inference Protocol's JSON tensors.",
)
@no_keys_option
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
    type=UserPath(exists=True, file_okay=False),
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
    type=UserPath(),
    help="Write what is sent when, which --stream replay:file=<trace> sends again.",
)
@click.option("--out", type=UserPath(), help="The results, as JSON.")
@click.option("--picture", type=UserPath(), help="Of what happened over time.")
def run(out: Path | None, picture: Path | None, arrivals: str | None, **settings: Any) -> None:
    """Send a stream, and compare every answer with the base DNN's own."""
    from workload.run.describe import describe
    from workload.run.files import write_json
    from workload.run.plot import draw
    from workload.run.run import Settings
    from workload.run.run import run as send_and_judge

    if settings["static"] and settings["ask_again"]:
        raise ParameterError("--static needs the base DNN: leave --ask-again out")
    arrivals = arrivals or ("fixed" if settings["rate_per_s"] else "closed")
    result = send_and_judge(Settings(arrivals=arrivals, **settings))
    if out:
        write_json(out, result)
    if picture:
        draw(result, picture)
    click.echo(describe(result))


@click.command()
@url_option
@model_option
@store_option
@data_option
@stream_option
@click.option("--requests", default=500, show_default=True, type=click.IntRange(min=50))
@seed_option
def profile(
    url: str, model: str, store: Path | None, data: str, stream: str, requests: int, seed: int
) -> None:
    """Print where the milliseconds of a request go, and the serving tax."""
    from cache_models.bench.in_process import InProcess
    from cache_models.network.base_dnn import load
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE
    from workload.run.profile import describe, in_process_ms
    from workload.run.profile import profile as send_and_trace
    from workload.run.stream import make_stream, open_for
    from workload.samples import Inputs

    base = load(model)
    opened = open_for(data, base, click.echo)
    made = make_stream(opened, data, stream, requests, seed, base).stream
    samples = made.samples(opened.samples)
    found = send_and_trace(url, samples)
    place = InProcess(base, Store(store or STORE).current())
    alone = in_process_ms(place, Inputs(samples, base.description))
    click.echo(describe(found, alone))


@click.command()
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
    from workload.run.rounds import measure
    from workload.run.stream import make_stream, open_for
    from workload.traffic.arrivals import poisson

    opened = open_for(data, None, click.echo)
    made = make_stream(opened, data, stream, requests, seed, None).stream
    samples, due_s = made.samples(opened.samples), poisson(requests, rate_per_s, seed)
    click.echo(str(measure(url, os.environ.get("GATI_ADMIN_TOKEN", ""), samples, due_s)))


@click.command()
@url_option
@model_option
@store_option
@data_option
@stream_option
@click.option(
    "--rate",
    "rates",
    multiple=True,
    required=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second, Poisson; several may be given.",
)
@click.option(
    "--requests",
    default=2000,
    show_default=True,
    type=click.IntRange(min=100),
    help="Sent at each rate.",
)
@seed_option
@click.option("--json", "as_json", is_flag=True, help="For programs, not for people.")
def sizing(
    url: str,
    model: str,
    store: Path | None,
    data: str,
    stream: str,
    rates: tuple[float, ...],
    requests: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare the simulation behind `inspect --rate` with what a server on this machine does.

    It serves the store with caches on, one replica of each deployment.
    """
    from cache_models.bench.capacity import with_caches
    from cache_models.network.base_dnn import load
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE
    from workload.run.sizing import compare, describe, others_cores, samples_of
    from workload.run.stream import make_stream, open_for

    plan, base = Store(store or STORE).current().plan, load(model)
    opened = open_for(data, base, lambda said: click.echo(said, err=True))
    enough = len(rates) * samples_of(requests)
    made = make_stream(opened, data, stream, enough, seed, base).stream
    samples = iter(made.samples(opened.samples))
    system = replace(with_caches(plan), others_cores=others_cores())
    found = [compare(url, system, samples, rate, requests, seed) for rate in rates]
    click.echo(json.dumps(list(map(asdict, found)), indent=2) if as_json else describe(found))
