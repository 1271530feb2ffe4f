"""Options that commands share, and what they stand for."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from cache_models.paths import UserPath
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
store_option = click.option("--store", type=UserPath(), help="Default: the shipped one.")
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
device_option = click.option("--device", default="cpu", show_default=True)


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
