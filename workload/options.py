"""What commands share; nothing here loads PyTorch, for which `--help` need not wait."""

from typing import Any

import click

from cache_models.errors import CacheModelsError
from cache_models.paths import UserPath
from workload.errors import ParameterError, WorkloadError
from workload.traffic.arrivals import KNOWN
from workload.traffic.streams import ANSWERS, LABELS, STREAMS


class OneLineErrors(click.Group):
    """What a user can mend is said in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (WorkloadError, CacheModelsError) as error:
            wrong_use = isinstance(error, ParameterError | CacheModelsError)
            raise (_Refused if wrong_use else click.ClickException)(str(error)) from error


class _Refused(click.ClickException):
    """As `click.UsageError`, in one line."""

    exit_code = click.UsageError.exit_code


url_option = click.option(
    "--url", default="http://127.0.0.1:8000", show_default=True, help="Of the server."
)
model_option = click.option(
    "--model", default="default", show_default=True, help="The base DNN, as it is served."
)
store_option = click.option(
    "--store", type=UserPath(), help="As it is served; default: the shipped one."
)
data_option = click.option(
    "--data",
    default="sample",
    show_default=True,
    help="sample, test (all test images of Fashion-MNIST), a folder of images, sounds, texts or "
    "videos, a file of texts, a video, or an .npy or .npz of images.",
)
stream_option = click.option(
    "--stream",
    default="iid",
    show_default=True,
    help=f"{', '.join(STREAMS)}; with parameters: locality:classes=3,mean_stay=2000.",
)
classes_option = click.option(
    "--classes",
    type=click.Choice([LABELS, ANSWERS]),
    default=LABELS,
    show_default=True,
    help="What a stream's classes are: the data's labels, or the base DNN's answers.",
)
requests_option = click.option(
    "--requests",
    type=click.IntRange(min=1),
    help="[default: 2000; of cameras, a video or a replay, all]",
)
arrivals_option = click.option(
    "--arrivals",
    help=f"{', '.join(KNOWN)} (the stream's own times); with parameters: "
    "bursty:factor=5,share=0.2,mean_burst_s=5.  [default: fixed with --rate, else closed]",
)
rate_option = click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second, of all arrivals but closed and replay.",
)
no_keys_option = click.option(
    "--no-keys", is_flag=True, help="Send a keyed stream without its keys, to see what they earn."
)
seed_option = click.option("--seed", default=0, show_default=True)
