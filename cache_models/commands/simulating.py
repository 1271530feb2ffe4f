"""What plays service through without serving: how soon the guard acts, how often promises break.

Commands import what they run when they run, so that `--help` need not wait for PyTorch.
"""

from pathlib import Path

import click

from cache_models.commands.options import store_option
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
    store: Path | None,
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


COMMANDS = (guard,)
