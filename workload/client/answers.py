"""What came back: a few numbers a request, in arrays."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

ERROR = "error"


@dataclass
class Answers:
    """Of n requests, in order.

    Attributes:
        class_ids: -1 where there was none.
        exits: `error` where there was no answer.
        versions: of the caches; -1 where the server says none.
        latency_ms: from when it was due, to the answer or the failure.
        server_ms: as the server says, NaN where it does not.
        failures: why there was no answer; empty where there was one.
        due_s: when it was due, in seconds from the start of the run; in a closed loop when it was
            sent.
        client_late_ms: how much of `latency_ms` is the client's own: from when it was due, and one
            of those in flight was free, to when it was sent.
    """

    class_ids: np.ndarray
    exits: np.ndarray
    versions: np.ndarray
    latency_ms: np.ndarray
    server_ms: np.ndarray
    failures: np.ndarray
    due_s: np.ndarray
    client_late_ms: np.ndarray

    @classmethod
    def none(cls, n: int) -> "Answers":
        """Before anything came back."""
        return cls(
            class_ids=np.full(n, -1),
            exits=np.full(n, ERROR, dtype=object),
            versions=np.full(n, -1),
            latency_ms=np.full(n, np.nan),
            server_ms=np.full(n, np.nan),
            failures=np.full(n, "", dtype=object),
            due_s=np.full(n, np.nan),
            client_late_ms=np.full(n, np.nan),
        )

    @property
    def errors(self) -> Counter[str]:
        """By kind."""
        return Counter(filter(None, self.failures.tolist()))
