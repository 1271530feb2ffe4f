"""Has a request answered: in chunks that fit one message, chosen for sampling, counted."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import numpy as np

from cache_models.cascade import Answers, Cascade, Trace
from deployments.graph.speculation import Busy
from deployments.graph.timeline import Timeline
from deployments.ingress.resizing import Input
from deployments.ingress.stats import Stats

CHUNK_ROWS = 32


class Sampling(Protocol):
    """What becomes of answered requests."""

    def choose(self) -> float:
        """The probability with which the request at hand was sampled; 0 if it was not."""
        ...

    def add(self, trace: Trace, answers: Answers, inclusion: float, rows: int) -> None:
        """An answered request.

        Args:
            trace: of one of its rows, drawn at random.
            answers: with that row at the trace's place.
            inclusion: what `choose` said of it.
            rows: of the request.
        """
        ...


class Answering:
    """Of one router.

    Args:
        max_rows: that fit one message, by the bytes of a row.
        busy: told of requests that begin and end.
    """

    def __init__(
        self,
        cascade: Cascade,
        sampling: Sampling,
        stats: Stats,
        max_rows: Callable[[int], int],
        busy: Busy,
    ):
        self._cascade, self._sampling, self._stats = cascade, sampling, stats
        self._max_rows, self._busy = max_rows, busy

    async def answer(
        self,
        given: Input,
        use_caches: bool,
        timeline: Timeline,
        stream: str = "",
        timeout_s: float | None = None,
    ) -> Answers:
        """All rows' answers; they are counted unless caches are off.

        Args:
            stream: as of a `Trace`.
            timeout_s: after the timeline's start nobody wants them any more.

        Raises:
            PlaceError, TimeoutError: of the first chunk that has no answer; the others are given
                up.
        """
        chunks, rows = self._chunks(given), len(given.batch)
        inclusion = self._sampling.choose() if use_caches else 0.0
        traced, row = divmod(random.randrange(rows), len(chunks[0].batch))
        at = time.time()
        left_s = None if timeout_s is None else max(0.0, timeout_s - timeline.ms / 1e3)
        trace = Trace(given.resized, row, stream, at) if use_caches else None
        self._busy.change(1)
        try:
            parts = await _all_or_none(
                [
                    self._cascade.answer(
                        chunk.batch,
                        chunk.resized,
                        use_caches,
                        timeline,
                        trace if i == traced else None,
                        left_s,
                        stream,
                        at,
                    )
                    for i, chunk in enumerate(chunks)
                ]
            )
        finally:
            self._busy.change(-1)
        if trace is not None:
            self._sampling.add(trace, parts[traced], inclusion, rows)
        answers = parts[0] if len(parts) == 1 else _together(parts)
        if use_caches:
            self._stats.count(answers.exits, timeline.ms)
        return answers

    def _chunks(self, given: Input) -> list[Input]:
        batch = given.batch
        size = min(CHUNK_ROWS, self._max_rows(batch[0].nbytes))
        return [Input(batch[i : i + size], given.resized) for i in range(0, len(batch), size)]


async def _all_or_none(walks: Sequence[Coroutine[Any, Any, Answers]]) -> list[Answers]:
    """The results of all; the first error ends the others."""
    if len(walks) == 1:
        return [await walks[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(walk) for walk in walks]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _together(parts: list[Answers]) -> Answers:
    return Answers(
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        [exit for part in parts for exit in part.exits],
        parts[0].cache_version,
    )
