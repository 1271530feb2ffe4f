"""Bind each request late to just the computation that it needs.

1. A cache at the input, if the plan has one, is asked about the request as it came.
2. Partition 0 runs its slice and hands out features and the activation.
3. The lookup at that cut point reads the features: rows that hit have their answer.
4. The rows that missed go on to the next partition; the last one gives the base DNN's answer.
   Where it pays, the next partition begins while the lookup is asked; a hit wastes its work.

A lookup that fails or is late is a miss, never an error.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cache_models.network.cutting import INPUT
from cache_models.store.plan import Plan
from deployments.graph.speculation import Busy, Order
from deployments.graph.timeline import Timeline
from deployments.transport.messages import Activation, Answer, Prior, Verdict
from deployments.transport.remote import Remote

logger = logging.getLogger(__name__)

BASE = "base"
MAX_FAILURES = 3
CLOSED_S = 1.0


@dataclass
class Answers:
    """Of one request with B rows: labels `(B,)`, probabilities `(B, K)`, and each row's exit."""

    class_ids: np.ndarray
    probabilities: np.ndarray
    exits: list[str]
    cache_version: int


@dataclass
class Trace:
    """What is kept of a sampled request until it has been run to the base DNN's end: what each
    lookup was or would be asked, and the last activation that has all rows."""

    resized: bool
    version: int = 0
    prior: Prior = field(default_factory=Prior)
    asked: list[np.ndarray] = field(default_factory=list)
    partition: int = 0
    activation: np.ndarray | None = None
    whole: bool = True

    def passed(self, asked: np.ndarray, partition: int, activation: np.ndarray) -> None:
        """A cut point was reached; `partition` takes `activation` next."""
        if self.whole:
            self.asked.append(asked)
            self.partition, self.activation = partition, activation


class LateBinding:
    """Walks requests through partitions and lookups.

    Args:
        partitions: in execution order, one more than `lookups`, or as many if the first of those is
            at the input.
        version: of the caches, to begin with; a request keeps the one it started with.
        order: as `AppArgs` has it.
        busy: to be told of requests that begin and end.
        failures: counts lookups that failed or were late, by cut point.
    """

    def __init__(
        self,
        plan: Plan,
        version: int,
        partitions: list[Remote],
        lookups: list[Remote],
        lookup_timeout_ms: float,
        bytes_per_value: int,
        order: Literal["auto", "sequential", "speculative"] = "sequential",
    ):
        self._plan = plan
        self._orders = [Order(order) for _ in lookups]
        self.busy = Busy()
        self.version = version
        self.prior = Prior()
        """For the class mix of the moment; a request keeps the one that it started with."""
        self._partitions = partitions
        self._lookups = lookups
        self._timeout_s = lookup_timeout_ms / 1e3
        by_name = {point.name: point for point in plan.candidates}
        self._activation_bytes = [
            bytes_per_value * int(np.prod(by_name[name].activation_shape))
            for name in plan.cut_points
            if name != INPUT
        ] + [0]
        self.row_bytes = max(self._activation_bytes)
        """Of the largest activation that travels."""
        self._in_a_row = [0] * len(lookups)
        self._closed_until = [0.0] * len(lookups)
        self.failures: dict[str, int] = {}

    async def answer(
        self,
        batch: np.ndarray,
        resized: bool,
        use_caches: bool,
        timeline: Timeline,
        trace: Trace | None = None,
    ) -> Answers:
        """The answers for `batch`, which is what `Partition.run` takes first.

        Args:
            timeline: to note every hop in.
            trace: to fill, of a sampled request.
        """
        version, prior = self.version, self.prior
        if trace is not None:
            trace.version, trace.prior = version, prior
        rows = np.arange(len(batch))
        exits = [BASE] * len(batch)
        classes = len(self._plan.description.classes)
        class_ids = np.empty(len(batch), np.int64)
        probabilities = np.empty((len(batch), classes), np.float32)
        current, partition = batch, 0
        ahead: asyncio.Task | None = None
        missed: np.ndarray | None = None

        async def run() -> Activation | Answer:
            """The next partition on the rows that are left: what it makes of them now, or has
            begun to make of all that the lookup was asked about."""
            if ahead is None:
                return await self._run(partition, current, resized, timeline)
            out = await ahead
            return out if missed is None else _rows(out, missed)

        for i, name in enumerate(self._plan.cut_points):
            if name == INPUT:
                asked = current
            else:
                out = await run()
                asked, current, partition = out.features, out.activation, partition + 1
            ahead = missed = None
            if trace is not None:
                trace.passed(asked, partition, current)
            if not use_caches:
                continue
            if self._orders[i].speculates(self.busy.share):
                ahead = asyncio.create_task(self._run(partition, current, resized, timeline))
            try:
                verdict = await self._look_up(i, asked, version, prior, resized, timeline)
            except asyncio.CancelledError:
                _drop(ahead)
                raise
            if verdict is None or not verdict.hits.any():
                continue
            hit, missed = rows[verdict.hits], ~verdict.hits
            class_ids[hit] = verdict.class_ids[verdict.hits]
            probabilities[hit] = verdict.probabilities[verdict.hits]
            for row in hit:
                exits[row] = name
            rows, current = rows[missed], current[missed]
            if trace is not None:
                trace.whole = False
            if not len(rows):
                _drop(ahead)
                return Answers(class_ids, probabilities, exits, version)
        out = await run()
        class_ids[rows], probabilities[rows] = out.class_ids, out.probabilities
        return Answers(class_ids, probabilities, exits, version)

    async def finish(self, trace: Trace, turn: Callable[[], Awaitable[None]]) -> Answer:
        """Run a sampled request on to the end, whose answer is the base DNN's; completes the trace.

        Args:
            turn: awaited before every slice, so that others can go first.
        """
        current = trace.activation
        for partition in range(trace.partition, len(self._partitions)):
            await turn()
            out = await self._run(partition, current, trace.resized, Timeline(0.0))
            if isinstance(out, Answer):
                return out
            trace.asked.append(out.features)
            current = out.activation
        raise AssertionError("the last partition answers")

    async def judge(self, trace: Trace, count: int) -> Answers:
        """What the caches would have said of a request with `count` rows that the base DNN has
        answered; -1 where they would have said nothing."""
        exits, class_ids = [BASE] * count, np.full(count, -1)
        for i, (name, asked) in enumerate(zip(self._plan.cut_points, trace.asked, strict=True)):
            verdict = await self._look_up(
                i, asked, trace.version, trace.prior, trace.resized, Timeline(0.0), judged=True
            )
            if verdict is None:
                continue
            for row in np.flatnonzero(verdict.hits & (class_ids < 0)):
                exits[row], class_ids[row] = name, verdict.class_ids[row]
        return Answers(class_ids, np.empty((count, 0)), exits, trace.version)

    async def _run(
        self, partition: int, batch: np.ndarray, resized: bool, timeline: Timeline
    ) -> Activation | Answer:
        row_bytes = self._activation_bytes[partition]
        begin = time.perf_counter()
        out = await self._partitions[partition].call(
            "run",
            batch,
            resized and partition == 0,
            expected_bytes=max(batch.nbytes, len(batch) * row_bytes),
        )
        timeline.hop(f"Partition{partition}", begin, out, len(batch))
        before = partition - 1 + int(self._plan.asks_first)
        if before >= 0:
            self._orders[before].ran((time.perf_counter() - begin) * 1e3)
        return out

    async def _look_up(
        self,
        index: int,
        asked: np.ndarray,
        version: int,
        prior: Prior,
        resized: bool,
        timeline: Timeline,
        judged: bool = False,
    ) -> Verdict | None:
        """What the lookup says, or None where it fails or is late. After `MAX_FAILURES` in a row it
        is left alone for a while, so that requests do not wait for what is not there.

        Args:
            judged: whether the base DNN has answered already, so that its hits are nobody's exits.
        """
        if time.monotonic() < self._closed_until[index]:
            return None
        name = self._plan.cut_points[index]
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                verdict = await self._lookups[index].call(
                    "look_up",
                    asked,
                    version,
                    prior.log_ratio,
                    prior.threshold,
                    resized and name == INPUT,
                    expected_bytes=asked.nbytes,
                )
        except Exception as error:
            timeline.hop(f"Lookup{index}", begin, None, len(asked))
            self.failures[name] = self.failures.get(name, 0) + 1
            self._in_a_row[index] += 1
            if self._in_a_row[index] >= MAX_FAILURES:
                self._closed_until[index] = time.monotonic() + CLOSED_S
                logger.warning("lookup at %s left alone for %s s: %r", name, CLOSED_S, error)
            return None
        timeline.hop(f"Lookup{index}", begin, verdict, len(asked))
        self._in_a_row[index] = 0
        if not judged:
            ms = (time.perf_counter() - begin) * 1e3
            self._orders[index].looked_up(int(verdict.hits.sum()), len(asked), ms)
        return verdict


def _rows(out: Activation | Answer, kept: np.ndarray) -> Activation | Answer:
    """The rows of `out` that are wanted."""
    return type(out)(*(part if part is None else part[kept] for part in out))


def _drop(ahead: asyncio.Task | None) -> None:
    """Nobody wants its result; a slice that has begun is computed to its end all the same."""
    if ahead is not None:
        ahead.cancel()
        ahead.add_done_callback(lambda task: task.cancelled() or task.exception())
