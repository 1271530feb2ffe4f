"""Requests that wait for a replica are computed together, and none waits for others.

While it computes, requests gather; when it is free it takes those that are alike, up to
`max_rows`, as one batch. So a batch grows with the load by itself, and a client that is alone
never waits. (`serve.batch` cannot do this: with a wait of 0 it makes batches of one, and with more
every request waits.)
"""

import math
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from deployments.graph.compute import ComputeLoop, ComputeThread
from deployments.tracing import spans
from deployments.transport.errors import Lost


@dataclass(eq=False)
class _Waiting:
    batch: np.ndarray
    args: tuple[Hashable, ...]
    since: float
    until: float
    span: spans.Span | None
    reply: Future = field(default_factory=Future)

    def like(self, other: "_Waiting") -> bool:
        """Whether both can be computed in one call."""
        return (
            self.args == other.args
            and self.batch.dtype == other.batch.dtype
            and self.batch.shape[1:] == other.batch.shape[1:]
        )


class Batching:
    """
    Args:
        compute: `(batch, *args)` → a named tuple of arrays with a row each, the last two of which,
            `queued_ms` and `compute_ms`, are filled in here.
        max_rows: of a batch that is put together; a request with more rows is computed by itself.
        clock: in seconds, of `compute_ms`.

    Attributes:
        batches, rows, compute_s: that have been computed, and how long that took.
    """

    def __init__(
        self,
        place: ComputeThread | ComputeLoop,
        compute: Callable[..., NamedTuple],
        max_rows: int,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._place, self._compute, self._max_rows = place, compute, max_rows
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()
        self.batches = self.rows = 0
        self.compute_s = 0.0

    @property
    def queued(self) -> int:
        """Requests that wait to be computed."""
        return len(self._waiting)

    def submit(self, batch: np.ndarray, *args: Hashable, until: float | None = None) -> Future:
        """The reply to `batch`, to come; one that is cancelled before its turn is not computed.

        Args:
            args: what is not alike in them is not computed together.
            until: of `time.monotonic`; one whose turn comes later is not computed, and its reply is
                `Lost`.
        """
        until = math.inf if until is None else until
        waiting = _Waiting(batch, args, time.perf_counter(), until, spans.current())
        with self._lock:
            self._waiting.append(waiting)
        # One call for every request: those that find theirs computed already have nothing to do.
        self._place.submit(self._next)
        return waiting.reply

    def _next(self) -> None:
        together = self._take()
        if not together:
            return
        start, begin = time.perf_counter(), self._clock()
        try:
            batches = [waiting.batch for waiting in together]
            batch = batches[0] if len(batches) == 1 else np.concatenate(batches)
            whole = self._compute(batch, *together[0].args)
        except BaseException as error:
            for waiting in together:
                waiting.reply.set_exception(error)
        else:
            compute_s = self._clock() - begin
            self.batches += 1
            self.rows += len(batch)
            self.compute_s += compute_s
            for waiting, reply in zip(together, _split(whole, together), strict=True):
                rows, queued_ms = len(waiting.batch), (start - waiting.since) * 1e3
                spans.computed(waiting.span, len(batch), queued_ms, compute_s * 1e3)
                waiting.reply.set_result(
                    reply._replace(
                        queued_ms=np.full(rows, queued_ms, np.float32),
                        compute_ms=np.full(rows, compute_s * 1e3, np.float32),
                    )
                )

    def _take(self) -> list[_Waiting]:
        """The request that has waited longest, and those like it that fit beside it."""
        taken: list[_Waiting] = []
        left: list[_Waiting] = []
        rows, now = 0, time.monotonic()
        with self._lock:
            for waiting in self._waiting:
                if waiting.until < now:
                    if waiting.reply.set_running_or_notify_cancel():
                        waiting.reply.set_exception(Lost("nobody waits for it any more"))
                    continue
                more = rows + len(waiting.batch)
                if taken and (more > self._max_rows or not waiting.like(taken[0])):
                    left.append(waiting)
                elif waiting.reply.set_running_or_notify_cancel():
                    taken.append(waiting)
                    rows = more
            self._waiting = left
        return taken


def _split(whole: NamedTuple, together: list[_Waiting]) -> list[NamedTuple]:
    if len(together) == 1:
        return [whole]
    ends = np.cumsum([len(waiting.batch) for waiting in together])
    parts = [part if part is None else np.split(part, ends[:-1]) for part in whole]
    return [
        type(whole)(*(None if part is None else part[i] for part in parts))
        for i in range(len(together))
    ]
