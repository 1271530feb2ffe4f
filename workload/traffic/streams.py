"""Streams: which item each request is of, in order.

- `iid`: the data in random order;
- `drift`: the same, but over the first `over` requests pictures grow worn: darker, blurred and
  turned, evenly, to `brightness`, `blur` and `turn` (`variation.wear`); then they stay so;
- `zipf`, `locality`, `shift`, `return`, `diurnal`, `newcomer`, `foreign`: classes first, as
  `workload.traffic.classes` draws them, and then of each class as many items as it takes;
- `cameras`, `speakers`, `users`: those who send, each with a key, as in `workload.traffic.senders`;
- `popular`: `items` of the data, the r-th of which comes with a share as 1 / r^s; each time but its
  first as a copy of the kind `vary` (`workload.traffic.copies`). With `key`, all requests have it;
- `video`: the data in their own order, the frames of a video with the video's own times;
- `replay`: a recorded trace, `file`, with the times and keys in it.

All are seeded. But for `popular` and `replay` no sample is sent twice: where items run out, they go
round again, varied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workload.errors import ParameterError
from workload.samples import Samples
from workload.traffic import senders, trace
from workload.traffic.classes import CLASS_STREAMS
from workload.traffic.copies import KINDS, MOVED, SAME
from workload.traffic.parameters import parse
from workload.traffic.picking import occurrences, of_groups, zipf_weights
from workload.traffic.senders import ALL
from workload.traffic.variation import Sent, is_varied, pool

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
    if count != ALL and count > data:
        raise ParameterError(f"the video has {data} frames: ask for at most as many requests")
    return np.arange(min(count, data))


def popular(
    count: int,
    data: int,
    rng: np.random.Generator,
    items: int = 1000,
    s: float = 1.0,
    vary: str = "upload",
    key: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """Items and rounds; `vary` and `key` are the same for all."""
    if vary not in KINDS:
        raise ParameterError(f"stream popular: vary {vary!r} is none of {', '.join(KINDS)}")
    some = rng.permutation(data)[:items]
    drawn = rng.choice(some, count, p=zipf_weights(len(some), s))
    return drawn, occurrences(drawn)


def replay(file: str = "") -> None:
    """A stand-in, for its parameter."""


ITEM_STREAMS = {"iid": iid, "video": video}
STREAMS: dict[str, Callable[..., Any]] = {
    "iid": iid,
    "drift": wear_of,
    **CLASS_STREAMS,
    "cameras": senders.cameras,
    "speakers": senders.speakers,
    "users": senders.users,
    "popular": popular,
    "video": video,
    "replay": replay,
}
WHOLE = ("cameras", "video", "replay")
"""Streams that end by themselves."""


@dataclass(frozen=True)
class Stream:
    """Requests in order.

    Attributes:
        items: index of each request's sample, `(n,)`; those below 0 are foreign.
        rounds: what tells samples of one item apart, `(n,)`, see `workload.traffic.variation`.
        varied: so many are varied copies of samples sent before.
        times_s: when each is due by the stream's own clock, `(n,)`; None where it has none.
        worn: how worn the picture of each is, `(n, 3)`, the arguments of `variation.wear`; None:
            as it was taken.
        keys: whose each is, `(n,)` texts, empty for nobody's; None: all are nobody's.
        copies: how copies differ, one of `workload.traffic.copies.KINDS`.
    """

    items: np.ndarray
    rounds: np.ndarray
    varied: int
    times_s: np.ndarray | None = None
    worn: np.ndarray | None = None
    keys: np.ndarray | None = None
    copies: str = MOVED

    def samples(self, samples: Samples, rows: np.ndarray | slice = slice(None)) -> Sent:
        """What is sent, or some of it; `samples` are the data's."""
        worn = None if self.worn is None else self.worn[rows]
        return Sent(samples, self.items[rows], self.rounds[rows], worn, self.copies)

    def trace(self, times_s: np.ndarray) -> trace.Known:
        """What a trace keeps of it; `times_s` says when each request is due, `(n,)`."""
        return trace.Known(self.items, self.rounds, times_s, self.worn, self.keys, self.copies)

    def keys_of(self, rows: np.ndarray | slice = slice(None)) -> list[str] | None:
        """The keys of some requests, as the client sends them."""
        return None if self.keys is None else self.keys[rows].tolist()


def by_answers(
    text: str, labels: np.ndarray | None, classes: str, sources: np.ndarray | None = None
) -> bool:
    """Whether `make` will want the base DNN's answers for classes.

    Args:
        labels: of the data, where they are known.
        classes: `LABELS` or `ANSWERS`, as asked for.
        sources: of the data, where they are known.

    Raises:
        ParameterError: there is no such stream.
    """
    name = parse("stream", text, STREAMS)[0]
    by_class = name in CLASS_STREAMS or name == "users" or (name == "speakers" and sources is None)
    return by_class and (labels is None or classes == ANSWERS)


def make(
    text: str,
    count: int,
    labels: np.ndarray,
    seed: int,
    times_s: np.ndarray | None = None,
    sources: np.ndarray | None = None,
) -> Stream:
    """The stream that `text` names, such as `locality:classes=3,mean_stay=2000`.

    Args:
        count: of requests, of a replay at most so many from its beginning; `ALL` where the stream
            is one of `WHOLE`.
        labels: the class of each sample, `(N,)`; where `by_answers` knows of none, only N matters.
        times_s: of each sample, where the data are videos.
        sources: whose each is, `(N,)`, where that is known.

    Raises:
        ParameterError: there is none such.
    """
    name, parameters = parse("stream", text, STREAMS)
    rng = np.random.default_rng(seed)
    data = len(labels)
    if name == "replay":
        if not parameters.get("file"):
            raise ParameterError("stream replay needs its trace: replay:file=<JSON lines>")
        known = trace.read(Path(parameters["file"]).expanduser(), data, count)
        return _stream(data, **known._asdict())
    if name == "cameras":
        sent = senders.cameras(count, times_s, sources, rng, **parameters)
        return _stream(data, **sent._asdict())
    if name == "speakers":
        sent = senders.speakers(count, labels, sources, rng, **parameters)
        return _stream(data, **sent._asdict())
    if name == "users":
        return _stream(data, **senders.users(count, labels, rng, **parameters)._asdict())
    if name == "popular":
        items, rounds = popular(count, data, rng, **parameters)
        key, copies = parameters.get("key", ""), parameters.get("vary", "upload")
        keys = np.full(count, key, dtype=object) if key else None
        return _stream(data, items, rounds, keys=keys, copies=copies)
    if name == "drift":
        items = iid(count, data, rng)
        return _stream(data, items, np.arange(count) // data, worn=wear_of(count, **parameters))
    if name in ITEM_STREAMS:
        items = ITEM_STREAMS[name](count, data, rng)
        own_times_s = times_s[: len(items)] if name == "video" and times_s is not None else None
        return _stream(data, items, np.arange(len(items)) // data, own_times_s)
    return _stream(data, *_draw(CLASS_STREAMS[name], parameters, count, labels, rng))


def _stream(
    data: int,
    items: np.ndarray,
    rounds: np.ndarray,
    times_s: np.ndarray | None = None,
    worn: np.ndarray | None = None,
    keys: np.ndarray | None = None,
    copies: str = MOVED,
) -> Stream:
    pairs = zip(items.tolist(), rounds.tolist(), strict=True)
    varied = sum(is_varied(item, round_, data) for item, round_ in pairs)
    return Stream(items, rounds, 0 if copies == SAME else varied, times_s, worn, keys, copies)


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
    ours = classes >= 0
    items[ours], rounds[ours] = of_groups(classes[ours], labels, rng)
    for class_id in np.unique(classes[~ours]):
        if size := pool(class_id, len(labels)):
            places = np.flatnonzero(classes == class_id)
            turns = np.arange(len(places))
            rounds[places] = rng.permutation(size)[turns % size] + turns // size * size
    return items, rounds
