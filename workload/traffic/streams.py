"""Streams: which item each request is of, in order.

- `iid`: the data in random order;
- `drift`: the same, but over the first `over` requests pictures grow worn: darker, blurred and
  turned, evenly, to `brightness`, `blur` and `turn` (`variation.wear`); then they stay so;
- `zipf`, `locality`, `shift`, `return`, `diurnal`, `newcomer`, `foreign`: classes first, as
  `workload.traffic.classes` draws them, and then of each class as many items as it takes;
- `video`: the data in their own order, the frames of a video with the video's own times;
- `replay`: a recorded trace, `file`, with the times in it.

All are seeded. But for `video` and `replay` no picture is sent twice: where items run out, they go
round again, varied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workload.errors import ParameterError
from workload.traffic import trace
from workload.traffic.classes import CLASS_STREAMS
from workload.traffic.images import Images
from workload.traffic.parameters import parse
from workload.traffic.variation import Pictures, is_varied, pool

LABELS, ANSWERS = "labels", "answers"
"""What the classes of a stream are: the data's labels, or the base DNN's answers."""


def iid(count: int, data: int, rng: np.random.Generator) -> np.ndarray:
    rounds = [rng.permutation(data) for _ in range(-(-count // data))]
    return np.concatenate(rounds)[:count]


def wear_of(
    count: int,
    over: int = 6000,
    brightness: float = 0.6,
    blur: float = 0.02,
    turn: float = 15.0,
) -> np.ndarray:
    """How worn each picture of `drift` is, `(count, 3)`; that of request i by i alone."""
    far = np.minimum(np.arange(count) / over, 1)
    return np.stack([1 + far * (brightness - 1), far * blur, far * turn], axis=1)


def video(count: int, data: int, rng: np.random.Generator) -> np.ndarray:
    if count > data:
        raise ParameterError(f"the video has {data} frames: ask for at most as many requests")
    return np.arange(count)


def replay(file: str = "") -> None:
    """A stand-in, for its parameter."""


ITEM_STREAMS = {"iid": iid, "video": video}
STREAMS: dict[str, Callable[..., Any]] = {
    "iid": iid,
    "drift": wear_of,
    **CLASS_STREAMS,
    "video": video,
    "replay": replay,
}


@dataclass(frozen=True)
class Stream:
    """Requests in order.

    Attributes:
        items: index of each request's image, `(n,)`; those below 0 are foreign.
        rounds: what tells pictures of one item apart, `(n,)`, see `workload.traffic.variation`.
        varied: so many are varied copies of pictures sent before.
        times_s: when each is due by the stream's own clock, `(n,)`; None where it has none.
        worn: how worn the picture of each is, `(n, 3)`, the arguments of `variation.wear`; None:
            as it was taken.
    """

    items: np.ndarray
    rounds: np.ndarray
    varied: int
    times_s: np.ndarray | None = None
    worn: np.ndarray | None = None

    def pictures(self, images: Images, rows: np.ndarray | slice = slice(None)) -> Pictures:
        """What is sent, or some of it; `images` are the data's."""
        worn = None if self.worn is None else self.worn[rows]
        return Pictures(images, self.items[rows], self.rounds[rows], worn)


def by_answers(text: str, labels: np.ndarray | None, classes: str) -> bool:
    """Whether `make` will want the base DNN's answers for classes.

    Args:
        labels: of the data, where they are known.
        classes: `LABELS` or `ANSWERS`, as asked for.

    Raises:
        ParameterError: there is no such stream.
    """
    return needs_labels(text) and (labels is None or classes == ANSWERS)


def needs_labels(text: str) -> bool:
    """Whether `make` will want the class of each image.

    Raises:
        ParameterError: there is no such stream.
    """
    return parse("stream", text, STREAMS)[0] in CLASS_STREAMS


def make(
    text: str,
    count: int,
    labels: np.ndarray,
    seed: int,
    times_s: np.ndarray | None = None,
) -> Stream:
    """The stream that `text` names, such as `locality:classes=3,mean_stay=2000`.

    Args:
        count: of requests; of a replay at most so many, from its beginning.
        labels: the class of each image, `(N,)`; of `iid`, `drift`, `video` and `replay`
            only N matters.
        times_s: of each image, where the data are a video.

    Raises:
        ParameterError: there is none such.
    """
    name, parameters = parse("stream", text, STREAMS)
    rng = np.random.default_rng(seed)
    data = len(labels)
    own_times_s, worn = None, None
    if name == "replay":
        if not parameters.get("file"):
            raise ParameterError("stream replay needs its trace: replay:file=<JSON lines>")
        own_times_s, items, rounds, worn = trace.read(
            Path(parameters["file"]).expanduser(), data, count
        )
    elif name == "drift":
        items, rounds = iid(count, data, rng), np.arange(count) // data
        worn = wear_of(count, **parameters)
    elif name in ITEM_STREAMS:
        items = ITEM_STREAMS[name](count, data, rng)
        rounds = np.arange(count) // data
        if name == "video" and times_s is not None:
            own_times_s = times_s[:count]
    else:
        items, rounds = _draw(CLASS_STREAMS[name], parameters, count, labels, rng)
    pairs = zip(items.tolist(), rounds.tolist(), strict=True)
    varied = sum(is_varied(item, round_, data) for item, round_ in pairs)
    return Stream(items, rounds, varied, own_times_s, worn)


def _draw(
    kind: Callable[..., np.ndarray],
    parameters: dict[str, Any],
    count: int,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Classes first, and then of each class as many items as it takes."""
    counts = np.bincount(labels)
    classes = kind(count, counts / counts.sum(), rng, **parameters)
    items, rounds = classes.copy(), np.arange(count)
    for class_id in np.unique(classes):
        places = np.flatnonzero(classes == class_id)
        turns = np.arange(len(places))
        if class_id >= 0:
            images = rng.permutation(np.flatnonzero(labels == class_id))
            items[places] = images[turns % len(images)]
            rounds[places] = turns // len(images)
        elif size := pool(class_id, len(labels)):
            rounds[places] = rng.permutation(size)[turns % size] + turns // size * size
    return items, rounds
