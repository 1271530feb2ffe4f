"""Where the milliseconds of one request go: `X-Trace: 1` gives it in the answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cache_models.cascade import Answers
from cache_models.network.stages import Reply
from deployments.tracing import spans


class Timeline:
    """Steps of a request, from `start` (of `time.perf_counter`) on; cheap enough to keep always.

    Attributes:
        stream: that the request belongs to, as a keyed hash; empty if it named none.
        answers: once there are any.
    """

    def __init__(self, start: float):
        self._start = start
        self.stream = ""
        self.answers: Answers | None = None
        self._steps: list[tuple] = []

    @property
    def ms(self) -> float:
        """Since the start."""
        return (time.perf_counter() - self._start) * 1e3

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One that is done here."""
        begin = time.perf_counter()
        with spans.step(name):
            yield
        self._steps.append((name, begin, time.perf_counter(), None, 0))

    def hop(self, name: str, begin: float, reply: Reply | None, rows: int) -> None:
        """One that a replica did, from `begin` until now; no reply is a lookup that failed."""
        self._steps.append((name, begin, time.perf_counter(), reply, rows))

    def told(self) -> list[dict]:
        """In order of their beginnings; `hop_ms` is what the way there and back cost, beside
        waiting and computing in the replica."""
        return [self._told(*step) for step in sorted(self._steps, key=lambda step: step[1])]

    def _told(self, name: str, begin: float, end: float, reply: Reply | None, rows: int) -> dict:
        at_ms, ms = (begin - self._start) * 1e3, (end - begin) * 1e3
        told = {"step": name, "at_ms": round(at_ms, 3), "ms": round(ms, 3)}
        if rows:
            told["rows"] = rows
        if reply and reply.queued_ms is not None and reply.compute_ms is not None:
            queued_ms, compute_ms = float(reply.queued_ms[0]), float(reply.compute_ms[0])
            told |= {
                "queued_ms": round(queued_ms, 3),
                "compute_ms": round(compute_ms, 3),
                "hop_ms": round(ms - queued_ms - compute_ms, 3),
            }
        return told
