"""`python -m cache_models.zoo.sentences`: fit the head, and write texts to learn and show with."""

from pathlib import Path

import click

from cache_models.errors import CacheModelsError
from cache_models.paths import UserPath
from cache_models.zoo.sentences import TOKENS, weights_file
from cache_models.zoo.sentences.packages import LISTS, USES

lists_option = click.option(
    "--lists",
    type=UserPath(exists=True, file_okay=False),
    default=LISTS,
    show_default=True,
    help="Folder of apt's lists Packages and Translation-en, plain or compressed.",
)


@click.group()
def cli() -> None:
    """Sections of Debian's packages, by their descriptions."""


@cli.command()
@lists_option
def train(lists: Path) -> None:
    """Fit the head: some minutes on two cores."""
    from cache_models.zoo.sentences import encoder
    from cache_models.zoo.sentences.training import train

    card = train(encoder(), TOKENS, lists, weights_file())
    click.echo(
        f"{weights_file()}: {card['accuracy']:.1%} of new sources' packages in their section, "
        f"where the most frequent is {card['most_frequent']:.1%}"
    )


@cli.command()
@click.argument("folder", type=UserPath())
@click.option("--use", type=click.Choice(list(USES)), default="caches", show_default=True)
@lists_option
def write(folder: Path, use: str, lists: Path) -> None:
    """Write FOLDER/<use>.jsonl: descriptions, a line each, of sources that nothing else learns
    from."""
    from cache_models.zoo.sentences.packages import packages, write

    found = packages(use, lists)  # type: ignore[arg-type]
    write(found, folder / f"{use}.jsonl")
    click.echo(f"{folder / f'{use}.jsonl'}: {len(found)} texts")


if __name__ == "__main__":
    try:
        cli(prog_name="python -m cache_models.zoo.sentences")
    except CacheModelsError as error:
        raise SystemExit(f"Error: {error}") from error
