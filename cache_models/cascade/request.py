"""What belongs to one request on its walk: what it is answered with, its answers, its trace."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cache_models.network.stages import BASE, Reply, Stage, Verdict


class Control(NamedTuple):
    """What a request is answered with; it keeps what it started with.

    Attributes:
        version: of the caches.
        on: whether caches may answer.
        threshold: as `LookUp` has it.
    """

    version: int
    on: bool = True
    threshold: float | None = None


@dataclass
class Answers:
    """Of one request with B rows: labels `(B,)`, probabilities `(B, K)`, and each row's exit."""

    class_ids: np.ndarray
    probabilities: np.ndarray
    exits: list[str]
    cache_version: int

    @classmethod
    def none(cls, rows: int, classes: int, version: int) -> "Answers":
        """Before there are any."""
        probabilities = np.empty((rows, classes), np.float32)
        return cls(np.empty(rows, np.int64), probabilities, [BASE] * rows, version)

    def put(
        self, rows: np.ndarray, class_ids: np.ndarray, probabilities: np.ndarray, exit: str
    ) -> None:
        """Of some rows."""
        self.class_ids[rows], self.probabilities[rows] = class_ids, probabilities
        for row in rows:
            self.exits[row] = exit


class Said(NamedTuple):
    """What a cache says of one input, whether that is a hit or not."""

    class_id: int
    confidence: float


@dataclass
class Trace:
    """What is kept of one row of a request, until the base DNN's answer to it is known.

    Attributes:
        resized: as for `Run`.
        row: which of the request's rows.
        stream: that the request belongs to, as a keyed hash; empty if it named none.
        at: when it came, in seconds since the epoch.
        compute_ms: milliseconds of one thread that were spent on it after it was answered.
        control: that it was answered with.
        asked: what each lookup that it came by was asked, or would have been, a batch of one.
        said: what it said, None where it was not asked, or late; as long as `asked`.
        vectors: `(1, d)` that a lookup is still to remember, None where there is none; likewise.
        reached: index of the stage that takes `activation` next.
        whole: whether the row has come to the base DNN's end.
    """

    resized: bool
    row: int = 0
    stream: str = ""
    at: float = field(default_factory=time.time)
    compute_ms: float = 0.0
    control: Control | None = None
    asked: list[np.ndarray] = field(default_factory=list)
    said: list[Said | None] = field(default_factory=list)
    vectors: list[np.ndarray | None] = field(default_factory=list)
    reached: int = 0
    activation: np.ndarray | None = None
    whole: bool = True

    def begin(self, control: Control) -> None:
        """A walk begins, the first or one anew."""
        self.control, self.whole = control, True
        self.asked, self.said, self.vectors = [], [], []

    def passed(self, at: int, asked: np.ndarray, reached: int, activation: np.ndarray) -> None:
        """A lookup's cut point was reached; the stage `reached` takes `activation` next.

        Args:
            at: place of the row in both.
        """
        self.came_by(asked[at : at + 1])
        self.reached, self.activation = reached, activation[at : at + 1]

    def remembered(self) -> None:
        """The lookups have been told what the base DNN answered."""
        self.vectors = [None] * len(self.vectors)

    def came_by(self, asked: np.ndarray) -> None:
        """A lookup that has not said anything yet."""
        self.asked.append(asked)
        self.said.append(None)
        self.vectors.append(None)

    def heard(self, at: int, verdict: Verdict) -> None:
        """What the last lookup says of the row; a hit ends its walk."""
        self.tells(len(self.said) - 1, at, verdict)
        self.whole = not verdict.hits[at]

    def tells(self, lookup: int, at: int, verdict: Verdict) -> None:
        """What that lookup says of the row."""
        self.said[lookup] = Said(int(verdict.class_ids[at]), float(verdict.confidences[at]))
        if verdict.vectors is not None:
            self.vectors[lookup] = verdict.vectors[at : at + 1]


@dataclass
class OfStream:
    """Of which stream a request is, and what is to be remembered of it.

    Attributes:
        stream, at: as of `LookUp`.
        vectors: to remember: of which lookup, of which rows, and themselves.
    """

    stream: str
    at: float
    vectors: list[tuple[Stage, np.ndarray, np.ndarray]] = field(default_factory=list)


def deadline(timeout_s: float | None) -> Callable[[], float | None]:
    """What is left of the time, whenever asked; at least nothing."""
    if timeout_s is None:
        return lambda: None
    end = time.monotonic() + timeout_s
    return lambda: max(0.0, end - time.monotonic())


def compute_ms_of(reply: Reply) -> float:
    """Of all its rows, which are told the same."""
    return 0.0 if reply.compute_ms is None else float(reply.compute_ms[0])


def place_of(trace: Trace, rows: np.ndarray) -> int | None:
    """Of the traced row among those that are still under way."""
    if not trace.whole:
        return None
    return int(np.flatnonzero(rows == trace.row)[0])


def hear(trace: Trace | None, rows: np.ndarray, verdict: Verdict) -> None:
    """What the last lookup says of those rows, if the traced one is among them."""
    if trace is not None and (traced := place_of(trace, rows)) is not None:
        trace.heard(traced, verdict)
