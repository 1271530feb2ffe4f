"""What looks at something: at caches that were built, and at other ways to answer.

Commands import what they run when they run, so that `--help` need not wait for PyTorch.
"""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click

from cache_models.commands.options import (
    data_option,
    device_option,
    false_hit_cost_option,
    hop_cost,
    hop_option,
    json_option,
    limit_options,
    model_option,
    sizing_options,
    store_option,
    test_option,
    train_data_option,
    work_folder,
    work_option,
)
from cache_models.errors import ArtifactError
from cache_models.paths import UserPath
from cache_models.promise.promise import Limits


@click.command()
@click.option("--model", help="As for build. Default: that of the store, or else the shipped one.")
@store_option
@click.option("--picture", type=UserPath(), help="Draw exploration and plan (PNG).")
@sizing_options
@device_option
@json_option
def inspect(
    model: str | None,
    store: Path | str | None,
    picture: Path | None,
    rates: tuple[float, ...],
    p99_ms: float | None,
    cores: int | None,
    router_ms: float | None,
    speculative: bool,
    device: str,
    as_json: bool,
) -> None:
    """Print the cut points with cost and bytes, every variant explored, the plan, and how many
    replicas a rate of requests takes."""
    from cache_models.bench import sizing
    from cache_models.bench.capacity import ROUTER_MS, describe_loads
    from cache_models.bench.describe import (
        describe_cut_points,
        describe_exploration,
        describe_graphs,
        describe_plan,
    )
    from cache_models.bench.picture import draw
    from cache_models.build.measurement import read_table
    from cache_models.network.base_dnn import load
    from cache_models.network.cutting import cut
    from cache_models.store.files import EXPLORATION
    from cache_models.store.graphs import read
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE

    store = store or (STORE if model in (None, "default") else None)
    if rates and store is None:
        raise click.UsageError("--rate needs a plan: name its store by --store")
    version = Store(store).current() if store else None
    base = load(model or (version.plan.model if version else "default"))
    if version:
        version.plan.check_base(base)
    records = []
    if version and (version.folder / EXPLORATION).is_file():
        records = read_table(version.file(EXPLORATION).read_text())
    sized = []
    if version:
        p99_ms = p99_ms or sizing.default_p99_ms(version.plan)
        sized = sizing.sizes(
            version.plan,
            rates or (20.0,),
            p99_ms,
            records,
            router_ms=ROUTER_MS if router_ms is None else router_ms,
            speculative=speculative,
            cores=cores,
        )
    if as_json:
        plan = version and version.plan.model_dump(mode="json")
        explored = [record.model_dump(mode="json") for record in records]
        takes = {"p99_ms": p99_ms, "sizing": [one.model_dump(mode="json") for one in sized]}
        click.echo(json.dumps({"plan": plan, "exploration": explored, **takes}, indent=2))
        return
    click.echo(describe_cut_points(base, cut(base), device, version and version.plan))
    if version:
        plan = version.plan
        if records:
            click.echo(describe_exploration(records, plan))
        if records and picture:
            draw(records, plan, picture)
        click.echo(describe_plan(plan))
        with suppress(ArtifactError):  # an older build has none, and the first start makes them
            click.echo(describe_graphs(read(store, plan)))
        click.echo(describe_loads(plan))
        click.echo(sizing.describe(sized, p99_ms))
    else:
        click.echo("no store named: no caches (make some with `python -m cache_models build`)")


@click.command()
@model_option
@click.option("--data", default="sample", show_default=True, help="As for build.")
@store_option
@device_option
@click.option(
    "--streams/--no-streams",
    default=True,
    show_default=True,
    help="Ask as the streams that the samples name, or without.",
)
@json_option
def evaluate(
    model: str, data: str, store: Path | str | None, device: str, streams: bool, as_json: bool
) -> None:
    """Run the cascade over samples that tuned nothing: disagreement, exits, milliseconds."""
    from cache_models.bench.describe import describe_evaluation
    from cache_models.bench.evaluation import evaluate
    from cache_models.data.samples import open_samples
    from cache_models.network.base_dnn import load
    from cache_models.network.device import resolve
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE

    base, version = load(model), Store(store or STORE).current()
    with work_folder(None) as folder:
        samples = open_samples(data, base.description, folder)
        of = samples.streams if streams else None
        result = evaluate(base, version, samples.images, resolve(device), streams=of)
    for skipped in samples.skipped:
        click.echo(f"skipped {skipped}", err=True)
    click.echo(json.dumps(asdict(result), indent=2) if as_json else describe_evaluation(result))


@click.command()
@model_option
@data_option
@train_data_option
@test_option
@work_option
@limit_options
@hop_option
@false_hit_cost_option
@click.option("--cut-points", help="By commas; default: all candidates.")
@click.option("--variants", help="By commas, such as fc-32; default: all.")
@click.option("--out", type=UserPath(), help="The table as CSV.")
def compare(
    model: str,
    data: str,
    train_data: str | None,
    test: str,
    work: Path | None,
    limits: Limits,
    hop: Path | None,
    false_hit_cost: float,
    cut_points: str | None,
    variants: str | None,
    out: Path | None,
) -> None:
    """Compare learned caches with other exits, neighbours, a model cascade and an int8 base DNN.

    Learns from --data as build does (and goes on from its --work); nothing is published.
    """
    from cache_models.bench import comparison
    from cache_models.bench.contest import Contest, independent
    from cache_models.bench.rows import as_csv, table
    from cache_models.build.exploration import check_variants, explore
    from cache_models.build.measurement import measure
    from cache_models.build.pricing import Pricing
    from cache_models.build.split import prepare
    from cache_models.build.survey import survey
    from cache_models.data.samples import open_samples
    from cache_models.network.base_dnn import load

    base = load(model)
    names, kinds = (text and text.split(",") for text in (cut_points, variants))
    check_variants(kinds or ())
    with work_folder(work) as folder:
        samples = open_samples(data, base.description, folder, train_data)
        tests = open_samples(test, base.description, folder / "test")
        learning = prepare(base, samples, limits, folder, cut_points=names)
        trained = explore(
            learning.recording,
            learning.train,
            learning.select,
            folder / "caches",
            false_hit_cost,
            only=kinds,
        )
        costs = survey(base, learning.model, samples.images, only=names)
        explored = measure(trained, learning.recording, costs, learning.select, limits)
        if samples.streams is not None:
            learning = independent(learning, explored, samples.streams, limits)
        classes = base.description.classes
        contest = Contest(
            learning,
            costs,
            learning.record(base, tests.images, folder / "test"),
            Pricing(costs.base_ms, samples.images[0].nbytes, 4 * len(classes), hop_cost(hop)),
            limits,
            classes,
            false_hit_cost,
        )
        rows = comparison.compare(contest, explored, base, samples, tests)
    if out:
        out.write_text(as_csv(rows))
    click.echo(table(rows))


@click.command()
@model_option
@data_option
@train_data_option
@test_option
@work_option
@limit_options
@store_option
@click.option("--trials", default=10, show_default=True)
@click.option("--known-classes", default=3, show_default=True)
@click.option("--out", type=UserPath(), help="The trials as JSON lines.")
def novelty(
    model: str,
    data: str,
    train_data: str | None,
    test: str,
    work: Path | None,
    limits: Limits,
    store: Path | str | None,
    trials: int,
    known_classes: int,
    out: Path | None,
) -> None:
    """Try the novelty gate: learn the store's caches on a few classes, and show them the others."""
    from cache_models.bench.leave_classes_out import leave_classes_out, summary
    from cache_models.build.split import prepare
    from cache_models.data.samples import open_samples
    from cache_models.network.base_dnn import load
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE

    base, plan = load(model), Store(store or STORE).current().plan
    if not plan.caches:
        raise click.UsageError("the store's plan has no caches; name another with --store.")
    with work_folder(work) as folder:
        samples = open_samples(data, base.description, folder, train_data)
        learning = prepare(base, samples, limits, folder)
        tests = open_samples(test, base.description, folder / "test")
        made = leave_classes_out(
            learning,
            [(cache.cut_point, cache.variant) for cache in plan.caches],
            learning.record(base, tests.images, folder / "test"),
            limits,
            trials,
            known_classes,
        )
    if out:
        out.write_text("".join(trial.model_dump_json() + "\n" for trial in made))
    click.echo(summary(made, base.description.classes))


@click.command()
@store_option
@device_option
@click.option("--compile", "compiled", is_flag=True, help="Also partitions by torch.compile.")
def tune(store: Path | str | None, device: str, compiled: bool) -> None:
    """Measure which engine, threads and batch sizes suit partitions and lookups here."""
    from cache_models.bench.tuning import describe, tune
    from cache_models.network.device import resolve
    from cache_models.store.versions import Store
    from cache_models.zoo.fashion import STORE

    folder = store or STORE
    version = Store(folder).current()
    click.echo(describe(tune(folder, version, resolve(device), compiled)))


COMMANDS = (inspect, evaluate, compare, novelty, tune)
