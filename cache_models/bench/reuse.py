"""Answers given once more to inputs that are like earlier ones, before the whole base DNN: what a
user would try first.

- `exact`: the very same input, of the last `KEPT`, from whomever;
- `hash`: the nearest perceptual hash of those, within so many bits;
- `difference`: the stream's last input that the base DNN answered, where little has changed
  (NoScope's difference detector: Kang et al. 2017).

Only the base DNN's answers are kept. How near is near enough is set on the plan's own samples, in
their order, to the plan's promise: the farthest at which no more answers differ than it allows.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from cache_models.bench.streams import difference_hash
from cache_models.promise.promise import Limits, most_disagreements

Kind = Literal["exact", "hash", "difference"]
KINDS: dict[str, Kind] = {"exact": "exact", "hash": "hash", "difference": "difference"}
KEPT, MOST_STREAMS = 10_000, 10_000
SIDE = 32
"""Of the pictures whose difference is taken."""
LIMITS = {
    "exact": (0.0,),
    "hash": tuple(float(bits) for bits in range(13)),
    "difference": (0.0, *np.geomspace(0.05, 500, 41).tolist()),
}
"""Distances that are tried, ascending."""


class Earlier:
    """Inputs that the base DNN has answered.

    Args:
        limit: of the distance, at which an answer is given once more.
    """

    def __init__(self, kind: Kind, limit: float):
        self._kind, self._limit = kind, limit
        self._exact: OrderedDict[bytes, Any] = OrderedDict()
        self._hashes = np.zeros((KEPT, 64), bool)
        self._answers: list[Any] = []
        self._put = 0
        self._last: OrderedDict[str, tuple[np.ndarray, Any]] = OrderedDict()

    @property
    def memory_bytes(self) -> int:
        """Of what inputs are compared with."""
        marks = sum(mark.nbytes for mark, _ in self._last.values())
        return 32 * len(self._exact) + self._hashes[: len(self._answers)].nbytes + marks

    def answer(
        self, given: np.ndarray, stream: str, compute: Callable[[], Any]
    ) -> tuple[Any, bool]:
        """The answer to `given`, `(h, w, C)` uint8 or `(*input_shape)` float32, and whether it is
        an earlier one's; `compute` gives the base DNN's."""
        return self.answer_to(compared(self._kind, given), stream, compute)

    def answer_to(self, mine: Any, stream: str, compute: Callable[[], Any]) -> tuple[Any, bool]:
        """Likewise, by what is compared of an input."""
        match self._kind:
            case "exact":
                return self._exactly(mine, compute)
            case "hash":
                return self._by_hash(mine, compute)
            case "difference":
                return self._unless_changed(mine, stream, compute)

    def _exactly(self, key: bytes, compute: Callable[[], Any]) -> tuple[Any, bool]:
        if key in self._exact:
            self._exact.move_to_end(key)
            return self._exact[key], True
        self._exact[key] = compute()
        if len(self._exact) > KEPT:
            self._exact.popitem(last=False)
        return self._exact[key], False

    def _by_hash(self, mine: np.ndarray, compute: Callable[[], Any]) -> tuple[Any, bool]:
        known = self._hashes[: len(self._answers)]
        if len(known):
            bits = (known != mine).sum(1)
            nearest = int(bits.argmin())
            if bits[nearest] <= self._limit:
                return self._answers[nearest], True
        found, place = compute(), self._put % KEPT
        self._hashes[place] = mine
        self._answers[place : place + 1] = [found]
        self._put += 1
        return found, False

    def _unless_changed(
        self, mine: np.ndarray, stream: str, compute: Callable[[], Any]
    ) -> tuple[Any, bool]:
        if stream and stream in self._last:
            self._last.move_to_end(stream)
            before, found = self._last[stream]
            if np.square(before - mine).mean() <= self._limit:
                return found, True
        found = compute()
        if stream:
            self._last[stream] = mine, found
            if len(self._last) > MOST_STREAMS:
                self._last.popitem(last=False)
        return found, False


def fitting(
    kind: Kind,
    given: Sequence[np.ndarray],
    streams: Sequence[str],
    answers: np.ndarray,
    limits: Limits,
    counted: np.ndarray | None = None,
) -> float | None:
    """The farthest distance at which no more answers differ than `limits` allow; None if even the
    least lets too many.

    Args:
        given: samples in the order in which they came, of `streams`.
        answers: the base DNN's labels.
        counted: of them, `(N,)` bool, those that know nothing of each other; by default all.
    """
    found = None
    counted = np.ones(len(answers), bool) if counted is None else counted
    marks = [compared(kind, one) for one in given]
    allowed = most_disagreements(int(counted.sum()), limits.max_disagreement, 1 - limits.confidence)
    for limit in LIMITS[kind]:
        earlier = Earlier(kind, limit)
        said = [
            earlier.answer_to(mark, stream, partial(int, label))[0]
            for mark, stream, label in zip(marks, streams, answers.tolist(), strict=True)
        ]
        wrong = int((np.array(said) != answers)[counted].sum())
        if wrong > max(0, allowed):
            break
        found = limit
    return found


def compared(kind: Kind, given: np.ndarray) -> Any:
    """What is compared of an input."""
    match kind:
        case "exact":
            return hashlib.sha256(given.tobytes()).digest()
        case "hash":
            return difference_hash(given[None])[0]
        case "difference":
            return _small(given)


def _small(given: np.ndarray) -> np.ndarray:
    """Of a picture some of the pixels; other inputs as they are."""
    if given.dtype != np.uint8:
        return given.ravel()
    rows, columns = (
        np.linspace(0, size - 1, min(size, SIDE)).astype(int) for size in given.shape[:2]
    )
    return given[np.ix_(rows, columns)].astype(np.float32).ravel()
