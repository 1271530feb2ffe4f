"""What looks at base DNNs alone, without caches.

Commands import what they run when they run, so that `--help` need not wait for PyTorch.
"""

from pathlib import Path

import click

from cache_models.commands.options import (
    device_option,
    dtype_option,
    hop_cost,
    hop_option,
    model_option,
    work_folder,
)
from cache_models.network.engine.interface import DType
from cache_models.paths import UserPath


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--threads", type=click.IntRange(1), help="Default: all cores.")
@click.option("--out", type=UserPath(), help="The lines as CSV.")
def engines(models: tuple[str, ...], threads: int | None, out: Path | None) -> None:
    """Measure base DNNs, and the shipped lookups, in PyTorch and in ONNX Runtime.

    MODEL is as for --model elsewhere; by default the shipped one and seven of torchvision's.
    """
    from cache_models.bench import engines
    from cache_models.network.base_dnn import load
    from cache_models.network.threads import cores
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE, sample

    rows: list[engines.EngineRow] = []
    click.echo(engines.heading())
    for model in models or engines.MODELS:
        given = sample()[0] if model == "default" else None
        measured = engines.compare_base(load(model), threads or cores(), given)
        if model == "default":
            measured += engines.compare_lookups(Store(STORE).current(), given)
        for row in measured:
            click.echo(engines.describe(row))
        rows += measured
    if out:
        out.write_text(engines.as_csv(rows))


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--of",
    "library",
    type=click.Choice(["torchvision", "timm", "transformers"]),
    default="torchvision",
    help="All of torchvision (default), or ten of another library.",
)
@click.option("--side", default=64, show_default=True, help="Of torchvision's inputs, at least.")
@click.option("--time", "timed", is_flag=True, help="Also slices beside the whole; 40 times each.")
@click.option("--timeout-s", default=900.0, show_default=True, help="For each.")
@click.option("--out", type=UserPath(), help="The lines as CSV.")
def architectures(
    names: tuple[str, ...], library: str, side: int, timed: bool, timeout_s: float, out: Path | None
) -> None:
    """Try which classifiers, such as resnet50, timm:convnext_atto or transformers:Bert, load, are
    cut bit by bit and build; random weights."""
    from cache_models.bench import architectures, libraries

    tried = names or libraries.names(library)
    for name in tried:
        libraries.check(name)
    rows: list[architectures.ArchitectureRow] = []
    click.echo(architectures.heading())
    for row in architectures.try_all(tried, side, timeout_s, timed):
        click.echo(architectures.describe(row))
        rows.append(row)
        if out:
            out.write_text(architectures.as_csv(rows))
    click.echo(architectures.summary(rows))


@click.command("late-binding")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--share",
    default=0.25,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Of the operations, before the cut point.",
)
@click.option("--side", default=224, show_default=True, help="Of torchvision's inputs, at least.")
@hop_option
@device_option
@dtype_option
@click.option("--out", type=UserPath(), help="The lines as JSON.")
def late_binding(
    names: tuple[str, ...],
    share: float,
    side: int,
    hop: Path | None,
    device: str,
    dtype: DType,
    out: Path | None,
) -> None:
    """Say what a hit and a miss take here beside the base DNN, and from how many hits on a cache
    pays; for classifiers such as resnet50 or timm:convnext_large, random weights."""
    from cache_models.bench import late_binding as bench
    from cache_models.bench import libraries
    from cache_models.network.device import resolve

    for name in names:
        libraries.check(name)
    click.echo(bench.heading())
    lines = []
    for name in names:
        row = bench.late_binding(name, share, hop_cost(hop), resolve(device), dtype, side)
        click.echo(bench.describe(row))
        lines.append(row.model_dump_json() + "\n")
        if out:
            out.write_text("".join(lines))


@click.command("base-flip")
@model_option
@click.option("--data", default="sample", show_default=True, help="As for build.")
@click.option("--samples", default=1000, show_default=True, type=click.IntRange(1), help="At most.")
@device_option
def base_flip(model: str, data: str, samples: int, device: str) -> None:
    """Say how often the base DNN changes its own answer when an input is hardly changed."""
    import numpy as np

    from cache_models.build.base_flip import base_flips, describe
    from cache_models.data.samples import open_samples
    from cache_models.network.base_dnn import load
    from cache_models.network.cutting import cut
    from cache_models.network.device import resolve

    base = load(model)
    with work_folder(None) as folder:
        given = open_samples(data, base.description, folder).images
        rows, on = np.arange(len(given)), resolve(device)
        click.echo(describe(base_flips(base, cut(base), given, rows, folder, on, samples)))


COMMANDS = (engines, architectures, late_binding, base_flip)
