"""The stream of a run: the data it is made of, and which of them is asked about when."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.device import resolve
from workload.client.truth import base_answers
from workload.errors import ParameterError
from workload.traffic import arrivals, locality, streams, trace
from workload.traffic.data import Data, open_data

DEFAULT_REQUESTS = 2000


def open_for(name: str, base: BaseDNN | None, say: Callable[[str], None]) -> Data:
    """The data `name`, with as many channels as `base` takes."""
    preprocessing = base and base.description.preprocessing
    data = open_data(name, len(preprocessing.mean) if preprocessing else 3)
    if data.skipped:
        say(f"{len(data.skipped)} files skipped: {'; '.join(data.skipped[:5])}")
    return data


def make_stream(
    data: Data,
    name: str,
    stream: str,
    requests: int | None,
    seed: int,
    base: BaseDNN | None,
    classes: str = streams.LABELS,
) -> tuple[streams.Stream, np.ndarray | None]:
    """The stream, and the class of each request; None where it is not known beforehand.

    Args:
        name: of the data.
        requests: None for all frames of a video and all lines of a trace, else 2000.
        base: answers for labels, where the data have none and the stream needs them.
        classes: `labels`, or `answers`: a picture is of the class that the base DNN gives it, right
            or wrong.
    """
    labels = data.labels
    if streams.by_answers(stream, labels, classes):
        if base is None:
            raise DataError(
                f"{stream} needs labels, and {name} has none that are asked for: leave out "
                f"--ask-again, so that the base DNN's answers can stand for them"
            )
        labels = base_answers(base, data.images, resolve("auto"))
    if requests is None:
        whole = {"video": len(data.images), "replay": sys.maxsize}
        requests = whole.get(stream.partition(":")[0], DEFAULT_REQUESTS)
    known = np.zeros(len(data.images), int) if labels is None else labels
    made = streams.make(stream, requests, known, seed, data.times_s)
    if labels is None:
        return made, None
    return made, np.where(made.items >= 0, labels[made.items], made.items)


def describe(name: str, seed: int, stream: streams.Stream, classes: np.ndarray | None) -> str:
    """For people: how many are varied copies, and how much locality the classes have."""
    how_local = "" if classes is None else f"; {locality.describe(locality.measure(classes))}"
    varied = f"{stream.varied} of {len(stream.items)} pictures are varied copies"
    return f"{name}, seed {seed}: {varied}{how_local}"


def write_trace(
    file: Path, stream: streams.Stream, arrivals_: str, rate_per_s: float | None, seed: int
) -> None:
    """A stream with the times at which it is due.

    Raises:
        ParameterError: only a server's answers give a closed loop its times.
    """
    due_s = arrivals.make(arrivals_, len(stream.items), rate_per_s, seed, stream.times_s)
    if due_s is None:
        raise ParameterError("a closed loop has no times before it is sent: use run --trace")
    trace.write(file, due_s, stream.items, stream.rounds, stream.worn)
