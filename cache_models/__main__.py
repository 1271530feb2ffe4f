"""`python -m cache_models`: make the default base DNN, build caches, look at them."""

import tempfile
from pathlib import Path

import click

from cache_models.errors import CacheModelsError


class _Group(click.Group):
    """Errors that a user can mend are one line, without a traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except CacheModelsError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
def cli() -> None:
    """Learn caches for a base DNN."""


model_option = click.option(
    "--model",
    default="default",
    show_default=True,
    help="default, torchvision:<builder>[?weights=…], or <package.module>:<factory>.",
)


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), help="Default: the shipped file.")
@click.option("--seed", default=0, show_default=True)
def pretrain(out: Path | None, seed: int) -> None:
    """Train the default base DNN from scratch; goes on from a checkpoint if there is one."""
    from cache_models.default import WEIGHTS
    from cache_models.pretrain import pretrain

    out = out or WEIGHTS
    out.parent.mkdir(parents=True, exist_ok=True)
    card = pretrain(out, seed)
    click.echo(f"{out}: {card['test_accuracy']:.2%} of the test images right")


@cli.command()
@model_option
@click.option(
    "--data",
    default="default",
    show_default=True,
    help="default, a folder of images, an .npy or .npz, a video, or torchvision:<dataset>.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The store; default: the shipped one.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Keep recording (at most 16 KB a sample and cut point) and caches, to go on from.",
)
@click.option("--max-disagreement", default=0.01, show_default=True)
@click.option("--max-class-disagreement", default=0.05, show_default=True)
@click.option("--confidence", default=0.95, show_default=True)
@click.option("--max-caches", default=3, show_default=True, help="At most 4.")
@click.option("--max-cache-bytes", type=int)
@click.option("--max-miss-latency-ms", type=float, help="Of a request that misses everywhere.")
@click.option(
    "--hop",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `python -m deployments measure` wrote; default: the shipped figures.",
)
@click.option(
    "--false-hit-cost",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="What a wrong hit costs the selector in training; a missed hit costs 1.",
)
@click.option("--device", default="cpu", show_default=True)
def build(
    model: str,
    data: str,
    out: Path | None,
    work: Path | None,
    hop: Path | None,
    false_hit_cost: float,
    device: str,
    **limits,
) -> None:
    """Learn, compose and calibrate caches, and publish them to a store."""
    from pydantic import ValidationError

    from cache_models.base_dnn import load
    from cache_models.build import build
    from cache_models.default import STORE
    from cache_models.device import resolve
    from cache_models.inspect import describe_plan
    from cache_models.plan import HopCost
    from cache_models.promise import Limits
    from cache_models.samples import open_samples
    from cache_models.store import Store

    try:
        checked = Limits(**limits)
        hop_cost = HopCost.model_validate_json(hop.read_text()) if hop else HopCost()
    except ValidationError as error:
        raise click.UsageError(str(error)) from error
    if out is None and (model, data) != ("default", "default"):
        raise click.UsageError("name the store with --out; the shipped one is the default model's.")
    store, base = Store(out or STORE), load(model)
    with tempfile.TemporaryDirectory(prefix="gati-build-") as temporary:
        folder = work or Path(temporary)
        version = build(
            base,
            open_samples(data, base.description, folder),
            data,
            store,
            checked,
            hop_cost,
            folder,
            resolve(device).type,
            false_hit_cost=false_hit_cost,
        )
    click.echo(f"cache version {version.number} in {store.folder}")
    click.echo(describe_plan(version.plan))


@cli.command()
@model_option
@click.option("--data", default="sample", show_default=True, help="As for build.")
@click.option("--store", type=click.Path(path_type=Path), help="Default: the shipped one.")
@click.option("--device", default="cpu", show_default=True)
def evaluate(model: str, data: str, store: Path | None, device: str) -> None:
    """Run the cascade over samples that tuned nothing: disagreement, exits, milliseconds."""
    from cache_models.base_dnn import load
    from cache_models.default import STORE
    from cache_models.device import resolve
    from cache_models.evaluation import evaluate
    from cache_models.inspect import describe_evaluation
    from cache_models.samples import open_samples
    from cache_models.store import Store

    base, version = load(model), Store(store or STORE).current()
    with tempfile.TemporaryDirectory(prefix="gati-evaluate-") as temporary:
        samples = open_samples(data, base.description, Path(temporary))
        result = evaluate(base, version, samples.images, resolve(device).type)
    for skipped in samples.skipped:
        click.echo(f"skipped {skipped}", err=True)
    click.echo(describe_evaluation(result))


@cli.command()
@model_option
@click.option("--store", type=click.Path(path_type=Path), help="Default: the shipped one.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw exploration and plan (PNG).")
@click.option("--device", default="cpu", show_default=True)
def inspect(model: str, store: Path | None, picture: Path | None, device: str) -> None:
    """Print the cut points with cost and bytes, every variant explored, and the plan."""
    from cache_models.base_dnn import load
    from cache_models.cutting import cut
    from cache_models.default import STORE
    from cache_models.exploration import read_table
    from cache_models.inspect import (
        describe_cut_points,
        describe_exploration,
        describe_plan,
        draw,
    )
    from cache_models.store import EXPLORATION, Store

    store = store or (STORE if model == "default" else None)
    version = Store(store).current() if store else None
    plan = version.plan if version else None
    click.echo(describe_cut_points(cut(load(model)), device, plan))
    if version:
        table = version.folder / EXPLORATION
        records = read_table(table.read_text()) if table.is_file() else []
        if records:
            click.echo(describe_exploration(records, plan))
        if records and picture:
            draw(records, plan, picture)
        click.echo(describe_plan(plan))
    else:
        click.echo("no store named: no caches (make some with `python -m cache_models build`)")


if __name__ == "__main__":
    cli(prog_name="python -m cache_models")
