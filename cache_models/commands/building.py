"""What makes something: the default base DNN, and caches for a base DNN.

Commands import what they run when they run, so that `--help` need not wait for PyTorch.
"""

from pathlib import Path

import click

from cache_models.commands.options import (
    data_option,
    device_option,
    dtype_option,
    false_hit_cost_option,
    hop_cost,
    hop_option,
    limit_options,
    model_option,
    store_option,
    train_data_option,
    work_folder,
    work_option,
)
from cache_models.network.engine.interface import DType
from cache_models.paths import StorePath, UserPath
from cache_models.promise.promise import Limits


@click.command()
@click.option(
    "--out",
    type=UserPath(),
    help="Default: the shipped file; with --grow, where cache_models.zoo.deepened looks for it.",
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--grow",
    type=click.Choice(["resnet34"]),
    help="Grow this one from the shipped ResNet-18 and fine-tune it.",
)
def pretrain(out: Path | None, seed: int, grow: str | None) -> None:
    """Train the default base DNN from scratch; goes on from a checkpoint if there is one."""
    from cache_models.zoo.deepen import describe_card
    from cache_models.zoo.deepen import pretrain as pretrain_grown
    from cache_models.zoo.deepened import weights_file
    from cache_models.zoo.fashion import WEIGHTS
    from cache_models.zoo.pretrain import pretrain

    out = out or (weights_file(grow) if grow else WEIGHTS)
    out.parent.mkdir(parents=True, exist_ok=True)
    if grow:
        click.echo(f"{out}: {describe_card(pretrain_grown(grow, out, seed))}")
    else:
        card = pretrain(out, seed)
        click.echo(f"{out}: {card['test_accuracy']:.2%} of the test images right")


@click.command()
@model_option
@data_option
@train_data_option
@click.option(
    "--copies",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Train predictors also on so many altered copies of every sample that trains (moved, "
    "turned, brighter, mixed with another), about which the base DNN is asked likewise.",
)
@click.option(
    "--out",
    type=StorePath(),
    help="The store: a folder, or a URL such as s3://bucket/store; default: the shipped one.",
)
@work_option
@limit_options
@hop_option
@false_hit_cost_option
@click.option("--cut-points", help="By commas; default: all candidates that inspect names.")
@click.option("--variants", help="By commas, such as fc-32,conv-32; default: all.")
@click.option(
    "--shared-memory",
    is_flag=True,
    help="One memory of all requests, whoever sends them: where the same comes again and again, a "
    "little altered. The samples are then requests in the order in which they came.",
)
@device_option
@dtype_option
def build(
    model: str,
    data: str,
    train_data: str | None,
    copies: int,
    cut_points: str | None,
    variants: str | None,
    out: Path | str | None,
    work: Path | None,
    limits: Limits,
    hop: Path | None,
    false_hit_cost: float,
    shared_memory: bool,
    device: str,
    dtype: DType,
) -> None:
    """Learn, compose and calibrate caches, and publish them to a store."""
    from cache_models.bench.describe import describe_plan
    from cache_models.build.pipeline import build
    from cache_models.data.samples import open_samples
    from cache_models.network.base_dnn import load
    from cache_models.network.device import resolve
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE

    if out is None and (model, data) != ("default", "default"):
        raise click.UsageError("name the store with --out; the shipped one is the default model's.")
    store, base = Store(out or STORE), load(model)
    with work_folder(work) as folder:
        version = build(
            base,
            open_samples(data, base.description, folder, train_data),
            data,
            store,
            limits,
            hop_cost(hop),
            folder,
            resolve(device),
            false_hit_cost=false_hit_cost,
            train_data=train_data,
            cut_points=cut_points.split(",") if cut_points else None,
            copies=copies,
            variants=variants.split(",") if variants else None,
            shared_memory=shared_memory,
            dtype=dtype,
        )
    click.echo(f"cache version {version.number} in {store.where}")
    click.echo(describe_plan(version.plan))


@click.command()
@model_option
@click.option("--out", type=StorePath(), required=True, help="The store, as for build.")
@click.option("--cut-points", help="By commas; default: the input, and about half of the compute.")
@limit_options
@hop_option
@device_option
def cold(
    model: str,
    out: Path | str,
    cut_points: str | None,
    limits: Limits,
    hop: Path | None,
    device: str,
) -> None:
    """Without samples: a plan whose caches will learn from the traffic."""
    from cache_models.bench.describe import describe_plan
    from cache_models.build.cold_start import cold_start
    from cache_models.network.base_dnn import load
    from cache_models.network.device import resolve
    from cache_models.store.versions import Store

    names = cut_points.split(",") if cut_points else None
    version = cold_start(load(model), Store(out), limits, hop_cost(hop), names, resolve(device))
    click.echo(f"cache version {version.number} in {out}")
    click.echo(describe_plan(version.plan))


@click.command()
@store_option
def export(store: Path | str | None) -> None:
    """Make the graphs that partitions run, if the store lacks them, and say what they are like."""
    from cache_models.bench.describe import describe_graphs
    from cache_models.store.exporting import ensure
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE

    versions = Store(store or STORE)
    click.echo(describe_graphs(ensure(versions.where, versions.current())))


COMMANDS = (pretrain, build, cold, export)
