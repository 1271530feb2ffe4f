"""`python -m deployments`: serve, and measure what needs Ray running."""

from pathlib import Path

import click

from cache_models.paths import UserPath
from deployments.starting import serve


@click.group()
def cli() -> None:
    """Serve, and measure the cluster at hand."""


@cli.command()
@click.option("--out", type=UserPath(), default="hop.json", show_default=True, help="JSON.")
@click.option("--calls", default=100, show_default=True, type=click.IntRange(1))
@click.option("--lane/--handles", default=True, show_default=True, help="Which way to measure.")
def measure(out: Path, calls: int, lane: bool) -> None:
    """Measure a hop and write what `python -m cache_models build --hop` reads.

    Set the environment variables that you serve with.
    """
    import ray

    from deployments.measure import measure

    try:
        hop, by_size = measure(calls, lane=lane)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    finally:
        ray.shutdown()
    for size, ms in by_size.items():
        click.echo(f"{size / 1e3:8.0f} KB  {ms:6.2f} ms")
    out.write_text(hop.model_dump_json(indent=2) + "\n")
    click.echo(f"{out}: {hop.fixed_ms:.2f} ms a hop and {hop.per_mb_ms:.2f} ms a megabyte")


cli.add_command(serve)

if __name__ == "__main__":
    cli(prog_name="python -m deployments")
