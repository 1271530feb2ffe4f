"""Streams: which item each request is of, in order.

- `iid`: the data in random order;
- `zipf`: classes of unequal popularity: the r-th most popular has a share as 1 / r^s;
- `locality`: `classes` are present at a time, requests drawn evenly among them; each stays for a
  geometric number of requests with mean `mean_stay`, then another takes its place;
- `shift`: `classes`, and after the request number `at` (by default half-way) as many others;
- `return`: `classes`, for the middle third others, and then the first again;
- `diurnal`: the classes stand round a clock, whose hand takes `period` requests for a round; the
  nearer a class to the hand, the more frequent: its weight is exp(concentration x cos(angle)), a
  von Mises distribution. At 4, 86 % of the requests are of a quarter of the clock;
- `foreign`: `classes`, and after `at` images of a `kind` that no class is like: `noise`,
  `inverted`, `digits` or `gratings`;
- `video`: the data in their own order, the frames of a video with the video's own times;
- `replay`: a recorded trace, `file`, with the times in it.

All are seeded. But for `video` and `replay` no picture is sent twice: where items run out, they go
round again, varied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workload.options import ANSWERS
from workload.traffic import trace
from workload.traffic.parameters import ParameterError as StreamError
from workload.traffic.parameters import parse
from workload.traffic.variation import FOREIGN, NOISE, is_varied, picture, pool, vary

__all__ = ["NOISE", "STREAMS", "Stream", "StreamError", "make", "needs_labels", "picture", "vary"]


def zipf(count: int, shares: np.ndarray, rng: np.random.Generator, s: float = 1.0) -> np.ndarray:
    present = rng.permutation(np.flatnonzero(shares))
    weights = np.arange(1, len(present) + 1) ** -s
    return rng.choice(present, count, p=weights / weights.sum())


def locality(
    count: int,
    shares: np.ndarray,
    rng: np.random.Generator,
    classes: int = 3,
    mean_stay: int = 2000,
) -> np.ndarray:
    # one more, or none could take the place of one that leaves
    present = _some(shares, classes + 1, rng)[:classes]
    leaves = rng.geometric(1 / mean_stay, classes)
    stream = np.empty(count, int)
    for i in range(count):
        for place in np.flatnonzero(leaves <= i):
            present[place] = rng.choice(np.setdiff1d(np.flatnonzero(shares), present))
            leaves[place] = i + rng.geometric(1 / mean_stay)
        stream[i] = present[rng.integers(classes)]
    return stream


def shift(
    count: int, shares: np.ndarray, rng: np.random.Generator, classes: int = 3, at: int = 0
) -> np.ndarray:
    both = _some(shares, 2 * classes, rng)
    before, after = both[:classes], both[classes:]
    at = _change(at, count)
    return np.concatenate([rng.choice(before, at), rng.choice(after, count - at)])


def there_and_back(
    count: int, shares: np.ndarray, rng: np.random.Generator, classes: int = 3
) -> np.ndarray:
    both = _some(shares, 2 * classes, rng)
    parts = np.array_split(np.arange(count), 3)
    mixes = both[:classes], both[classes:], both[:classes]
    return np.concatenate([rng.choice(m, len(p)) for m, p in zip(mixes, parts, strict=True)])


def diurnal(
    count: int,
    shares: np.ndarray,
    rng: np.random.Generator,
    period: int = 5000,
    concentration: float = 4.0,
) -> np.ndarray:
    present = rng.permutation(np.flatnonzero(shares))
    stands = np.arange(len(present)) / len(present)
    stream = np.empty(count, int)
    for start in range(0, count, 1000):  # so that memory stays bounded
        hand = np.arange(start, min(count, start + 1000)) / period
        weights = np.exp(concentration * np.cos(2 * np.pi * (hand[:, None] - stands)))
        up_to = np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)
        drawn = (rng.random((len(hand), 1)) > up_to).sum(1)
        stream[start : start + 1000] = present[np.minimum(drawn, len(present) - 1)]
    return stream


def foreign(
    count: int,
    shares: np.ndarray,
    rng: np.random.Generator,
    classes: int = 3,
    at: int = 0,
    kind: str = "noise",
) -> np.ndarray:
    if kind not in FOREIGN:
        raise StreamError(f"stream foreign: kind {kind!r} is none of {', '.join(FOREIGN)}")
    at = _change(at, count)
    known = rng.choice(_some(shares, classes, rng), at)
    return np.concatenate([known, np.full(count - at, FOREIGN[kind])])


CLASS_STREAMS: dict[str, Callable[..., np.ndarray]] = {
    "zipf": zipf,
    "locality": locality,
    "shift": shift,
    "return": there_and_back,
    "diurnal": diurnal,
    "foreign": foreign,
}
"""Each draws the class of `count` requests from data with `shares` of the classes; below 0 is a
foreign image."""


def iid(count: int, data: int, rng: np.random.Generator) -> np.ndarray:
    rounds = [rng.permutation(data) for _ in range(-(-count // data))]
    return np.concatenate(rounds)[:count]


def video(count: int, data: int, rng: np.random.Generator) -> np.ndarray:
    if count > data:
        raise StreamError(f"the video has {data} frames: ask for at most as many requests")
    return np.arange(count)


def replay(file: str = "") -> None:
    """A stand-in, for its parameter."""


ITEM_STREAMS = {"iid": iid, "video": video}
STREAMS: dict[str, Callable] = {"iid": iid, **CLASS_STREAMS, "video": video, "replay": replay}


@dataclass(frozen=True)
class Stream:
    """Requests in order.

    Attributes:
        items: index of each request's image, `(n,)`; those below 0 are foreign.
        rounds: what tells pictures of one item apart, `(n,)`, see `workload.traffic.variation`.
        varied: so many are varied copies of pictures sent before.
        times_s: when each is due by the stream's own clock, `(n,)`; None where it has none.
    """

    items: np.ndarray
    rounds: np.ndarray
    varied: int
    times_s: np.ndarray | None = None


def by_answers(text: str, labels: np.ndarray | None, classes: str) -> bool:
    """Whether `make` will want the base DNN's answers for classes.

    Args:
        labels: of the data, where they are known.
        classes: `LABELS` or `ANSWERS`, as asked for.

    Raises:
        StreamError: there is no such stream.
    """
    return needs_labels(text) and (labels is None or classes == ANSWERS)


def needs_labels(text: str) -> bool:
    """Whether `make` will want the class of each image.

    Raises:
        StreamError: there is no such stream.
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
        labels: the class of each image, `(N,)`; of `iid`, `video` and `replay` only N matters.
        times_s: of each image, where the data are a video.

    Raises:
        StreamError: there is none such.
    """
    name, parameters = parse("stream", text, STREAMS)
    rng = np.random.default_rng(seed)
    data = len(labels)
    own_times_s = None
    if name == "replay":
        if not parameters.get("file"):
            raise StreamError("stream replay needs its trace: replay:file=<JSON lines>")
        own_times_s, items, rounds = (
            part[:count] for part in trace.read(Path(parameters["file"]), data)
        )
    elif name in ITEM_STREAMS:
        items = ITEM_STREAMS[name](count, data, rng)
        rounds = np.arange(count) // data
        if name == "video" and times_s is not None:
            own_times_s = times_s[:count]
    else:
        items, rounds = _draw(CLASS_STREAMS[name], parameters, count, labels, rng)
    pairs = zip(items.tolist(), rounds.tolist(), strict=True)
    varied = sum(is_varied(item, round_, data) for item, round_ in pairs)
    return Stream(items, rounds, varied, own_times_s)


def _draw(kind, parameters, count, labels, rng) -> tuple[np.ndarray, np.ndarray]:
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


def _some(shares: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of the classes that the data have, at random."""
    present = np.flatnonzero(shares)
    if not 0 < count <= len(present):
        raise StreamError(f"the stream needs {count} classes; the data have {len(present)}")
    return rng.permutation(present)[:count]


def _change(at: int, count: int) -> int:
    if at >= count:
        raise StreamError(f"at={at} is not before the last of {count} requests")
    return at or count // 2
