"""Has a request answered: in chunks that fit one message, chosen for sampling, counted."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from cache_models.cascade import Answers, Cascade, Trace
from deployments.graph.timeline import Timeline
from deployments.ingress.resizing import Input
from deployments.ingress.stats import Stats

CHUNK_ROWS = 32


class Sampling(Protocol):
    """What becomes of answered requests."""

    def choose(self) -> float:
        """The probability with which the request at hand was sampled; 0 if it was not."""
        ...

    def waiting(self) -> AbstractContextManager[None]:
        """While a client waits for its answer."""
        ...

    def add(self, trace: Trace, answers: Answers, inclusion: float) -> None:
        """An answered request.

        Args:
            inclusion: what `choose` said of it.
        """
        ...


class Answering:
    """Of one router.

    Args:
        max_rows: that fit one message, by the bytes of a row.
        timeout_s: from a request's start.
    """

    def __init__(
        self,
        cascade: Cascade,
        sampling: Sampling,
        stats: Stats,
        max_rows: Callable[[int], int],
        timeout_s: float,
    ):
        self._cascade, self._sampling, self._stats = cascade, sampling, stats
        self._max_rows, self._timeout_s = max_rows, timeout_s

    async def answer(self, given: Input, use_caches: bool, timeline: Timeline) -> Answers:
        """All rows' answers; they are counted unless caches are off.

        Raises:
            PlaceError, TimeoutError: of the first chunk that has no answer; the others are given
                up.
        """
        chunks = self._chunks(given)
        with self._sampling.waiting():
            if len(chunks) == 1:
                answers = await self._answer(chunks[0], use_caches, timeline)
            else:
                answers = _together(
                    await _all_or_none(
                        [self._answer(chunk, use_caches, timeline) for chunk in chunks]
                    )
                )
        if use_caches:
            self._stats.count(answers.exits, timeline.ms)
        return answers

    def _chunks(self, given: Input) -> list[Input]:
        batch = given.batch
        size = min(CHUNK_ROWS, self._max_rows(batch[0].nbytes))
        return [Input(batch[i : i + size], given.resized) for i in range(0, len(batch), size)]

    async def _answer(self, chunk: Input, use_caches: bool, timeline: Timeline) -> Answers:
        inclusion = self._sampling.choose() if use_caches else 0.0
        trace = Trace(chunk.resized) if use_caches else None
        left_s = max(0.0, self._timeout_s - timeline.ms / 1e3)
        answers = await self._cascade.answer(
            chunk.batch, chunk.resized, use_caches, timeline, trace, left_s
        )
        if trace is not None:
            self._sampling.add(trace, answers, inclusion)
        return answers


async def _all_or_none(walks: Sequence[Coroutine[Any, Any, Answers]]) -> list[Answers]:
    """The results of all; the first error ends the others."""
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
