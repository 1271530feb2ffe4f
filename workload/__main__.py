"""`python -m workload`: send traffic to a server and compare."""

import click

from workload.chaos.cli import chaos, overload, soak
from workload.compare.cli import compare
from workload.options import OneLineErrors
from workload.run.cli import agreement, profile, rounds, run, sizing, stream


@click.group(cls=OneLineErrors)
def cli() -> None:
    """Send traffic to a running server, or to systems that are brought up to be compared."""


for command in (agreement, chaos, compare, overload, profile, rounds, run, sizing, soak, stream):
    cli.add_command(command)


if __name__ == "__main__":
    cli(prog_name="python -m workload")
