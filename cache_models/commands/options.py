"""Options that commands share, and what they stand for."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from pydantic import ValidationError

from cache_models.network.engine.interface import DType
from cache_models.paths import StorePath, UserPath
from cache_models.promise.promise import Limits

if TYPE_CHECKING:
    from cache_models.store.plan import HopCost

model_option = click.option(
    "--model",
    default="default",
    show_default=True,
    help="default, torchvision:<builder>[?weights=…], or <package.module>:<factory>.",
)


data_option = click.option(
    "--data",
    default="default",
    show_default=True,
    help="default, a folder of images, an .npy or .npz, a video (file?crops=6&half=first), "
    "torchvision:<dataset>, or <package.module>:<function>.",
)
train_data_option = click.option(
    "--train-data",
    help="More images, to train predictors on and nothing else: those that the base DNN was "
    "trained on, say ('trained' for the shipped one). Else as --data.",
)
store_option = click.option(
    "--store",
    type=StorePath(),
    help="A folder, or a URL such as s3://bucket/store. Default: the shipped one.",
)
work_option = click.option(
    "--work",
    type=UserPath(),
    help="Keep recording (at most 16 KB a sample and cut point) and caches, to go on from.",
)
test_option = click.option(
    "--test",
    default="sample",
    show_default=True,
    help="Samples that tuned nothing; as for --data.",
)
hop_option = click.option(
    "--hop",
    type=UserPath(exists=True, dir_okay=False),
    help="What `python -m deployments measure` wrote; default: the shipped figures.",
)
false_hit_cost_option = click.option(
    "--false-hit-cost",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="What a wrong hit costs the selector in training; a missed hit costs 1.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs, not for people.")
device_option = click.option("--device", default="cpu", show_default=True)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(get_args(DType)),
    default="float32",
    show_default=True,
    help="In which partitions compute. What that changes of the base DNN's answers counts in the "
    "promise.",
)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The operator's limits, as one argument `limits`."""

    @wraps(command)
    def checked(**arguments: Any) -> Any:
        try:
            limits = Limits(**{name: arguments.pop(name) for name in Limits.model_fields})
        except ValidationError as error:
            raise click.UsageError(str(error)) from error
        return command(limits=limits, **arguments)

    for option in (
        click.option("--max-disagreement", default=0.01, show_default=True),
        click.option("--max-class-disagreement", default=0.05, show_default=True),
        click.option("--confidence", default=0.95, show_default=True),
        click.option("--max-caches", default=3, show_default=True, help="At most 4."),
        click.option("--max-cache-bytes", type=int),
        click.option(
            "--max-miss-latency-ms", type=float, help="Of a request that misses everywhere."
        ),
    ):
        checked = option(checked)
    return checked


def sizing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What replicas are asked for, and where they run."""
    above_0 = click.FloatRange(min=0, min_open=True)
    for option in (
        click.option(
            "--speculative", is_flag=True, help="Partitions begin while lookups are asked."
        ),
        click.option(
            "--router-ms",
            type=click.FloatRange(min=0),
            help="That a router's process takes for a request, beside hops.  [default: 2.7]",
        ),
        click.option(
            "--cores",
            type=click.IntRange(min=1),
            help="That all replicas share, on one machine.  [default: each has as many as it has "
            "threads]",
        ),
        click.option(
            "--p99-ms",
            type=above_0,
            help="Within which 99 of 100 requests are to be answered.  [default: twice what the "
            "base DNN takes alone]",
        ),
        click.option(
            "--rate",
            "rates",
            multiple=True,
            type=above_0,
            help="Requests a second, to say how many replicas of each deployment it takes, and of "
            "the base DNN without caches; several may be given.  [default: 20]",
        ),
    ):
        command = option(command)
    return command


def hop_cost(file: Path | None) -> "HopCost":
    """What the file says a hop costs, or the shipped figures."""
    from cache_models.store.plan import HopCost

    try:
        return HopCost.model_validate_json(file.read_text()) if file else HopCost()
    except ValidationError as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def work_folder(work: Path | None) -> Iterator[Path]:
    """`--work`, or a folder that is gone afterwards."""
    if work is not None:
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="gati-") as temporary:
        yield Path(temporary)
