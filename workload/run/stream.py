"""The stream of a run: the data it is made of, and which of them is asked about when."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.device import resolve
from workload.client.truth import base_answers
from workload.errors import ParameterError
from workload.samples import Inputs, is_picture
from workload.traffic import arrivals, locality, streams
from workload.traffic.data import Data, open_data

DEFAULT_REQUESTS = 2000


class Requests(NamedTuple):
    """Requests in order, as a base DNN in this process is asked about them.

    Attributes:
        inputs: pictures `(h, w, C)` uint8 or its own inputs, made when they are iterated over.
        keys: whose each is, `(n,)` texts, empty for nobody's.
        times_s: when each is due, the first at 0, `(n,)`; None where the stream has no times.
    """

    inputs: Inputs
    keys: np.ndarray
    times_s: np.ndarray | None


@dataclass(frozen=True)
class Made:
    """A stream, and what is known of its requests before they are sent.

    Attributes:
        classes: of each request, `(n,)`; None where they are not known.
        answers: the base DNN's, `(n,)`; None where they were not asked for.
    """

    stream: streams.Stream
    classes: np.ndarray | None
    answers: np.ndarray | None = None

    def locality(self) -> dict[str, float | None] | None:
        """As measured; None where nothing is known of classes."""
        classes = self.answers if self.classes is None else self.classes
        if classes is None:
            return None
        stream = self.stream
        return locality.measure(classes, stream.items, self.answers, stream.keys)


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
) -> Made:
    """The stream, and the class of each request where it is known beforehand.

    Args:
        name: of the data.
        requests: None for all of a stream that ends by itself, else 2000.
        base: answers for labels, where the data have none and the stream needs them.
        classes: `labels`, or `answers`: a sample is of the class that the base DNN gives it, right
            or wrong.

    Raises:
        ParameterError, DataError: it cannot be made of these data.
    """
    labels = data.labels
    if streams.by_answers(stream, labels, classes, data.sources):
        if base is None:
            raise DataError(
                f"{stream} needs labels, and {name} has none that are asked for: leave out "
                f"--ask-again, so that the base DNN's answers can stand for them"
            )
        labels = base_answers(base, data.samples, resolve("auto"))
    if requests is None:
        by_itself = stream.partition(":")[0] in streams.WHOLE
        requests = streams.ALL if by_itself else DEFAULT_REQUESTS
    known = np.zeros(len(data.samples), int) if labels is None else labels
    made = streams.make(stream, requests, known, seed, data.times_s, data.sources)
    _check(data, name, made)
    if labels is None:
        return Made(made, None)
    return Made(made, np.where(made.items >= 0, labels[made.items], made.items))


def answered(made: Made, base: BaseDNN, data: Data) -> Made:
    """With the base DNN's answer to every request."""
    samples = made.stream.samples(data.samples)
    return replace(made, answers=base_answers(base, samples, resolve("auto")))


def requests_of(
    base: BaseDNN, data: str, stream: str, requests: int | None = None, seed: int = 0
) -> Requests:
    """What `run --data … --stream …` sends, for who asks a base DNN in this process.

    Raises:
        ParameterError, DataError: it cannot be made.
    """
    opened = open_for(data, base, lambda _: None)
    made = make_stream(opened, data, stream, requests, seed, base).stream
    keys = np.full(len(made.items), "", object) if made.keys is None else made.keys
    return Requests(Inputs(made.samples(opened.samples), base.description), keys, made.times_s)


def describe(name: str, seed: int, made: Made) -> str:
    """For people: how many are varied copies, and how much locality the stream has."""
    measured = made.locality()
    how_local = f"; {locality.describe(measured)}" if measured else ""
    varied = f"{made.stream.varied} of {len(made.stream.items)} are varied copies"
    return f"{name}, seed {seed}: {varied}{how_local}"


def due_s(
    stream: streams.Stream, arrivals_: str, rate_per_s: float | None, seed: int
) -> np.ndarray:
    """When each of its requests is due, `(n,)`.

    Raises:
        ParameterError: only a server's answers give a closed loop its times.
    """
    times_s = arrivals.make(arrivals_, len(stream.items), rate_per_s, seed, stream.times_s)
    if times_s is None:
        raise ParameterError("a closed loop has no times before it is sent: use run --trace")
    return times_s


def _check(data: Data, name: str, stream: streams.Stream) -> None:
    first = data.samples[0]
    if is_picture(first):
        return
    if stream.worn is not None or (stream.items < 0).any():
        raise DataError(
            f"{name} holds no pictures, and only they can be worn or foreign: ask for another "
            f"stream than foreign or drift"
        )
    if isinstance(first, np.ndarray) and stream.varied:
        raise DataError(
            f"{name} holds tensors, which cannot be varied: ask for at most {len(data.samples)} "
            f"requests"
        )
