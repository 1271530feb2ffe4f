"""What plays service through without serving: how soon the guard acts, how often promises break,
what streams are worth, and what it is to know which classes come.

Commands import what they run when they run, so that `--help` need not wait for PyTorch.
"""

from pathlib import Path

import click

from cache_models.commands.options import (
    data_option,
    limit_options,
    model_option,
    store_option,
    train_data_option,
    work_folder,
    work_option,
)
from cache_models.promise.promise import Limits


@click.command()
@click.option("--max-disagreement", default=0.01, show_default=True)
@click.option("--samples-between-alarms", default=100_000, show_default=True)
@click.option("--rate", default=0.1, show_default=True, help="Sampled after a start or an alarm.")
@click.option("--rest-rate", default=0.02, show_default=True, help="Sampled while all is well.")
@click.option("--raised-rate", default=0.3, show_default=True, help="Sampled on a suspicion.")
@click.option(
    "--redraws", type=click.IntRange(4), help="Instead, serve so many builds in the long run."
)
@store_option
def guard(
    max_disagreement: float,
    samples_between_alarms: float,
    rate: float,
    rest_rate: float,
    raised_rate: float,
    redraws: int | None,
    store: Path | str | None,
) -> None:
    """Simulate how soon a threshold that is wrong too often is left; or, with --redraws, how often
    more is wrong in the long run than promised."""
    from cache_models.bench import control
    from cache_models.bench import redraws as drawn
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE

    limits = Limits(max_disagreement=max_disagreement)
    if redraws:
        population = drawn.Population.of(Store(store or STORE).current())
        click.echo(drawn.table(population, limits, redraws))
        return
    rates = control.Rates(little=rest_rate, much=rate, suspicion=raised_rate)
    click.echo(control.table(limits, samples_between_alarms, rates))


@click.command()
@model_option
@data_option
@work_option
@click.option("--cut-points", help="By commas; default: all candidates.")
@click.option("--variants", help="By commas, such as fc-32; default: all.")
def streams(
    model: str, data: str, work: Path | None, cut_points: str | None, variants: str | None
) -> None:
    """What the past of the samples' streams is worth to caches, on the last third of their time."""
    from cache_models.bench import streams as bench
    from cache_models.build.split import prepare
    from cache_models.data.samples import open_samples
    from cache_models.errors import DataError
    from cache_models.network.base_dnn import load

    base = load(model)
    names, kinds = (text and text.split(",") for text in (cut_points, variants))
    with work_folder(work) as folder:
        samples = open_samples(data, base.description, folder)
        if samples.streams is None:
            raise DataError(f"{data} does not say of which streams its samples are")
        limits = Limits(max_disagreement=0.5)  # nothing is promised here
        learning = prepare(base, samples, limits, folder, cut_points=names)
        trained = bench.learned(learning, kinds, folder)
        click.echo(bench.table(learning, samples.images, samples.streams, trained))


@click.command()
@model_option
@data_option
@train_data_option
@work_option
@limit_options
@click.option("--cut-points", help="By commas; default: all candidates.")
@click.option("--variants", help="By commas, such as fc-32; default: all.")
def class_mix(
    model: str,
    data: str,
    train_data: str | None,
    work: Path | None,
    limits: Limits,
    cut_points: str | None,
    variants: str | None,
) -> None:
    """What it is worth to caches to know which few classes are frequent."""
    from cache_models.bench import class_mix as bench
    from cache_models.bench.streams import learned
    from cache_models.build.split import prepare
    from cache_models.data.samples import open_samples
    from cache_models.network.base_dnn import load

    base = load(model)
    names, kinds = (text and text.split(",") for text in (cut_points, variants))
    with work_folder(work) as folder:
        samples = open_samples(data, base.description, folder, train_data)
        learning = prepare(base, samples, limits, folder, cut_points=names)
        trained = learned(learning, kinds, folder)
        click.echo(bench.table(learning, trained, limits))


COMMANDS = (guard, streams, class_mix)
