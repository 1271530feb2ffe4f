"""`python -m workload`: send traffic to a server and compare."""

import click


@click.group()
def cli() -> None:
    """Send traffic to a running server."""


@cli.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True)
@click.option("--images", default=2000, show_default=True, help="So many of the sample.")
@click.option("--skip", default=0, show_default=True, help="So many at its beginning.")
def agreement(url: str, images: int, skip: int) -> None:
    """Ask about the sample images with caches on and off in turn; compare with the base DNN."""
    from cache_models.base_dnn import load
    from cache_models.default import sample
    from cache_models.evaluation import base_answers
    from workload.agreement import ask, report

    pictures, labels = (part[skip : skip + images] for part in sample())
    answers = base_answers(load("default"), pictures)
    click.echo(report(ask(url, pictures), answers, labels))


if __name__ == "__main__":
    cli(prog_name="python -m workload")
