"""The stages of a served graph, what each is asked, and what it replies.

A base DNN that is cut for caches is a row of stages: a lookup at the input, partition 0, the lookup
behind it, partition 1, and so on to the partition that ends with the base DNN's answer. Only
`Plan.stages` makes them; everything else is told which stage it is. Nothing here needs PyTorch.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

INPUT = "input"
"""The cut point where nothing has been computed yet."""
BASE = "base"
"""The exit of a request that no cache has answered."""


@dataclass(frozen=True)
class Stage:
    """One lookup, or one partition.

    Attributes:
        kind: `lookup` or `partition`.
        index: among those of its kind, in execution order.
        slice_index: of a partition, which of the slices between the plan's cut points it runs; of a
            lookup, the one that ends where it is. The slice that ends at the input is nothing to
            run, so no partition has it.
        start: the cut point whose activation a partition takes, `INPUT` for the first; where a
            lookup is.
        end: the cut point at which a partition's slice ends, None for the last; where a lookup is.
        takes: of a partition, the shape of its input without the batch, as a tensor.
        features: shape without the batch of what the lookup reads: at `start` of a lookup, at `end`
            of a partition; None for the last partition.
        activation: shape without the batch of what a partition hands on; None for the last, and
            for lookups.
        remembers: whether the lookup has a memory of streams.
    """

    kind: Literal["lookup", "partition"]
    index: int
    slice_index: int
    start: str
    end: str | None
    takes: tuple[int, ...] | None = None
    features: tuple[int, ...] | None = None
    activation: tuple[int, ...] | None = None
    remembers: bool = False

    @property
    def name(self) -> str:
        """Of its deployment: `Lookup0`, `Partition1`, …"""
        return f"{self.kind.capitalize()}{self.index}"

    @property
    def is_lookup(self) -> bool:
        return self.kind == "lookup"

    @property
    def at_input(self) -> bool:
        """Whether it is asked about requests as they came, not about what a partition made."""
        return self.start == INPUT

    @property
    def is_last(self) -> bool:
        """Whether its reply is the base DNN's answer."""
        return self.end is None

    def reply_row_bytes(self, bytes_per_value: int) -> int:
        """Of what a partition hands on for one row, the largest part of its reply."""
        return 0 if self.activation is None else bytes_per_value * int(np.prod(self.activation))


class Run(NamedTuple):
    """To a partition: run your slice.

    Attributes:
        batch: for a partition at the input decoded images `(B, h, w, C)` uint8 or inputs
            `(B, *input_shape)` float32; for the others the activation before it.
        resized: whether images have the base DNN's size already.
        background: nobody waits for it: requests go first.
    """

    batch: np.ndarray
    resized: bool = False
    background: bool = False


class LookUp(NamedTuple):
    """To a lookup: may this be answered from your cache?

    Attributes:
        batch: features `(B, *feature_shape)` float16; for a lookup at the input what the partition
            there takes.
        version: of the caches.
        threshold: of the confidence; None is the version's own.
        resized: as for `Run`.
        stream: that the request belongs to, as a keyed hash; empty where it named none, or the
            lookup remembers nothing.
        at: when the request came, in seconds since the epoch, if it named a stream.
    """

    batch: np.ndarray
    version: int
    threshold: float | None = None
    resized: bool = False
    stream: str = ""
    at: float = 0.0


class Remember(NamedTuple):
    """To a lookup that remembers streams: what the base DNN answered.

    Attributes:
        batch: vectors `(B, d)`, as the lookup's `Verdict` had them.
        class_ids: the base DNN's labels, `(B,)` int64.
        version, stream, at: of the `LookUp`.
    """

    batch: np.ndarray
    class_ids: np.ndarray
    version: int
    stream: str
    at: float


Message = Run | LookUp | Remember


def in_background(message: Message) -> bool:
    """Whether nobody waits for the reply."""
    return isinstance(message, Remember) or (isinstance(message, Run) and message.background)


def stream_of(message: Message) -> str:
    """The stream whose entries the replica that is asked should have; empty for none."""
    return "" if isinstance(message, Run) else message.stream


class Activation(NamedTuple):
    """What a partition hands on: features for the lookup, the activation for the next partition.

    Attributes:
        features: `(B, *feature_shape)` float16.
        activation: `(B, *shape)`, as the next partition takes it.
        queued_ms, compute_ms: of each row, `(B,)`, in the replica; None where it has none.
    """

    features: np.ndarray
    activation: np.ndarray
    queued_ms: np.ndarray | None = None
    compute_ms: np.ndarray | None = None


class Answer(NamedTuple):
    """The base DNN's labels `(B,)` int64 and probabilities `(B, K)` float32; times as above."""

    class_ids: np.ndarray
    probabilities: np.ndarray
    queued_ms: np.ndarray | None = None
    compute_ms: np.ndarray | None = None


class Verdict(NamedTuple):
    """A learned cache's hits `(B,)` bool, its labels and probabilities as in `Answer`, and its
    confidence in them, `(B,)` float32; and, to who named a stream, the vectors `(B, d)` float32 to
    remember once the base DNN has answered."""

    hits: np.ndarray
    class_ids: np.ndarray
    probabilities: np.ndarray
    confidences: np.ndarray
    vectors: np.ndarray | None = None
    queued_ms: np.ndarray | None = None
    compute_ms: np.ndarray | None = None


class Remembered(NamedTuple):
    """Done; times as above."""

    queued_ms: np.ndarray | None = None
    compute_ms: np.ndarray | None = None


Reply = Activation | Answer | Verdict | Remembered


def rows_of(reply: Reply, kept: np.ndarray) -> Reply:
    """The rows of a reply that are wanted.

    Args:
        kept: `(B,)` bool, or indices.
    """
    return type(reply)(*(None if part is None else part[kept] for part in reply))
