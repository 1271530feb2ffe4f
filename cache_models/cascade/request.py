"""What belongs to one request on its walk: what it is answered with, its answers, its trace."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Control(NamedTuple):
    """What a request is answered with; it keeps what it started with.

    Attributes:
        version: of the caches.
        on: whether caches may answer.
        log_ratio, threshold: for the class mix of the moment, as `LookUp` has them.
    """

    version: int
    on: bool = True
    log_ratio: np.ndarray | None = None
    threshold: float | None = None


@dataclass
class Answers:
    """Of one request with B rows: labels `(B,)`, probabilities `(B, K)`, and each row's exit."""

    class_ids: np.ndarray
    probabilities: np.ndarray
    exits: list[str]
    cache_version: int


@dataclass
class Trace:
    """What is kept of a sampled request until it has been run to the base DNN's end.

    Attributes:
        resized: as for `Run`.
        control: that it was answered with.
        asked: what each lookup was or would be asked.
        reached: index of the stage that takes `activation`, the last that has all rows.
        whole: whether all rows have come so far.
        compute_ms: milliseconds of one thread that it took to run it on.
    """

    resized: bool
    control: Control | None = None
    asked: list[np.ndarray] = field(default_factory=list)
    reached: int = 0
    activation: np.ndarray | None = None
    whole: bool = True
    compute_ms: float = 0.0

    def passed(self, asked: np.ndarray, reached: int, activation: np.ndarray) -> None:
        """A lookup's cut point was reached; the stage `reached` takes `activation` next."""
        if self.whole:
            self.asked.append(asked)
            self.reached, self.activation = reached, activation
