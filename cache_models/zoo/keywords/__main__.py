"""`python -m cache_models.zoo.keywords`: train the keyword spotter, and speak to it."""

from pathlib import Path

import click

from cache_models.errors import CacheModelsError
from cache_models.paths import UserPath
from cache_models.zoo.keywords import weights_file


@click.group()
def cli() -> None:
    """Keyword spotting on synthetic speech."""


@cli.command()
@click.option("--seed", default=0, show_default=True)
def train(seed: int) -> None:
    """Train the base DNN: 25 minutes on two cores."""
    from cache_models.zoo.keywords.training import train

    card = train(weights_file(), seed)
    click.echo(f"{weights_file()}: {card['accuracy']:.1%} of new voices' words right")


@cli.command()
@click.argument("folder", type=UserPath())
@click.option("--use", type=click.Choice(["caches", "service"]), default="caches")
@click.option("--clips", default=6_000, show_default=True)
@click.option(
    "--people",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="So many speak, and files' names say who; 0: every word has another voice.",
)
@click.option("--seed", default=0, show_default=True)
def speak(folder: Path, use: str, clips: int, people: int, seed: int) -> None:
    """Write WAV files, a folder a class, of voices that the base DNN has not heard."""
    from cache_models.zoo.keywords.speech import Speech, write

    write(Speech(use, clips // 15, seed + 1, people).clips(clips), folder)  # type: ignore[arg-type]


if __name__ == "__main__":
    try:
        cli(prog_name="python -m cache_models.zoo.keywords")
    except CacheModelsError as error:
        raise SystemExit(f"Error: {error}") from error
