"""`python -m cache_models`: make the default base DNN, build caches, look at them."""

import click

from cache_models.commands import base_dnns, building, measuring, simulating
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


for command in (
    *building.COMMANDS,
    *measuring.COMMANDS,
    *base_dnns.COMMANDS,
    *simulating.COMMANDS,
):
    cli.add_command(command)


if __name__ == "__main__":
    cli(prog_name="python -m cache_models")
