"""`python -m cache_models.zoo.street`: fit the counter."""

from pathlib import Path

import click

from cache_models.errors import CacheModelsError
from cache_models.paths import UserPath
from cache_models.zoo.street import weights_file


@click.group()
def cli() -> None:
    """Occupancy of the zones of a street."""


@cli.command()
@click.argument("video", type=UserPath(exists=True, dir_okay=False))
@click.option(
    "--size", default=224, show_default=True, help="pixels a side; more make a slower base DNN"
)
def train(video: Path, size: int) -> None:
    """Fit the last layer to the first half of VIDEO: three minutes on two cores."""
    from cache_models.zoo.street.training import train

    card = train(video, weights_file(), size)
    click.echo(
        f"{weights_file()}: {card['accuracy']:.1%} of the second half as labelled, where the most "
        f"frequent label is {card['most_frequent']:.1%}"
    )


if __name__ == "__main__":
    try:
        cli(prog_name="python -m cache_models.zoo.street")
    except CacheModelsError as error:
        raise SystemExit(f"Error: {error}") from error
