"""`python -m workload`: send traffic to a server and compare."""

import json
from pathlib import Path

import click
import numpy as np

from workload.compare import compare
from workload.streams import STREAMS, StreamError


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
    from cache_models.base_dnn import load
    from cache_models.default import sample
    from cache_models.evaluation import base_answers
    from workload.agreement import ask, report

    pictures, labels = (part[skip : skip + images] for part in sample())
    answers = base_answers(load("default"), pictures)
    click.echo(report(ask(url, pictures), answers, labels))


@cli.command()
@url_option
@click.option("--model", default="default", show_default=True, help="As it is served.")
@click.option(
    "--data",
    default="sample",
    show_default=True,
    help="sample, test (all test images of Fashion-MNIST), or an .npy of images.",
)
@click.option(
    "--stream",
    default="iid",
    show_default=True,
    help=f"{', '.join(STREAMS)}; with parameters: locality:classes=3,mean_stay=2000.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second; default: one by one.",
)
@click.option(
    "--arrivals",
    type=click.Choice(["fixed", "poisson"]),
    default="fixed",
    show_default=True,
    help="With --rate: due evenly, or at random.",
)
@click.option("--requests", default=2000, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--skip",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="So many at the start do not count.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="The results, as JSON.")
@click.option("--picture", type=click.Path(path_type=Path), help="Of what happened over time.")
def run(
    url: str,
    model: str,
    data: str,
    stream: str,
    rate: float | None,
    arrivals: str,
    requests: int,
    skip: int,
    seed: int,
    out: Path | None,
    picture: Path | None,
) -> None:
    """Send a stream, and compare every answer with the base DNN's own."""
    from cache_models.base_dnn import load
    from cache_models.datasets import cache_home
    from cache_models.evaluation import base_answers as ask_base
    from workload import report, streams
    from workload.arrivals import fixed, poisson
    from workload.base_answers import base_answers
    from workload.client import send
    from workload.picture import draw

    if skip >= requests:
        raise click.UsageError(f"--skip {skip} leaves nothing of --requests {requests}")
    base, images = load(model), _images(data)

    def answers_to(pictures):
        file = cache_home() / "base_answers.sqlite"
        return base_answers(pictures, lambda part: ask_base(base, part), base.fingerprint(), file)

    try:
        made = streams.make(stream, requests, answers_to(images), seed)
    except StreamError as error:
        raise click.UsageError(str(error)) from error
    pairs = zip(made.items, made.rounds, strict=True)
    pictures = [streams.picture(images, item, round_) for item, round_ in pairs]
    truth = answers_to(pictures)
    click.echo(
        f"{stream}, seed {seed}: {made.varied} of {requests} pictures are varied copies; entropy "
        f"of the class within 200 requests {streams.window_entropy(truth):.2f} bits, median reuse "
        f"distance {np.median(streams.reuse_distances(truth)):.0f}"
    )
    due_s = None
    if rate:
        due_s = fixed(requests, rate) if arrivals == "fixed" else poisson(requests, rate, seed)
    sent = send(url, pictures, due_s)
    stats = _stats(url)
    compute_ms = report.compute_ms_by_exit(stats["plan"]) if "plan" in stats else None
    result = report.summary(sent, truth, compute_ms, skip)
    result |= {
        "stream": stream,
        "seed": seed,
        "rate": rate,
        "arrivals": arrivals if rate else None,
        "varied": made.varied,
        "stats": stats,
    }
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")
    if picture:
        draw(result, picture)
    click.echo(report.describe(result))


def _stats(url: str) -> dict:
    """Empty where the server has none, or is gone: what was measured must not be lost for that."""
    import httpx

    try:
        found = httpx.get(f"{url}/stats", timeout=60).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        click.echo(f"{url}/stats says nothing ({error!r}): no compute in the report", err=True)
        return {}
    return found if isinstance(found, dict) else {}


def _images(data: str) -> np.ndarray:
    from cache_models.datasets import fashion_mnist
    from cache_models.default import sample

    if data == "sample":
        return sample()[0]
    if data == "test":
        return fashion_mnist(train=False)[0]
    try:
        images = np.load(data, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise click.UsageError(
            f"--data {data!r} is not sample, test or a readable .npy: {error}"
        ) from error
    shape = getattr(images, "shape", ())
    if len(shape) != 4 or shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise click.UsageError(f"--data {data!r} should hold uint8 (N, h, w, 1 or 3), not {shape}")
    return images


if __name__ == "__main__":
    cli(prog_name="python -m workload")
