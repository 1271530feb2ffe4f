"""Chooses requests, and runs them on to the base DNN's end after they have been answered.

A request is chosen before anything is known of it. It is run on in the background, where it stands
in front of nobody; while many wait for that, fewer are chosen. Requests that the base DNN answered
anyway are told of, too.
"""

import asyncio
import contextvars
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from cache_models.cascade import Answers, Cascade, Trace
from cache_models.network.stages import BASE, Answer
from deployments.config import Sampling
from deployments.follow.control_client import ControlClient
from deployments.follow.health import check
from deployments.follow.messages import Observation
from deployments.graph.speculation import Busy

logger = logging.getLogger(__name__)

MAX_WAITING = 8
"""Times `max_backlog`; beyond it a sampled request is dropped."""
MAX_WHOLE = 64
"""Observations in one exchange that carry features; more are told of without."""


class Waiting(NamedTuple):
    """A sampled request that has been answered, and not yet been run on.

    Attributes:
        inclusion: as of an `Observation`.
    """

    trace: Trace
    answers: Answers
    inclusion: float


class Sampler:
    """
    Args:
        cascade: that runs them on.
        busy: told of requests that begin and end.
        client: says how many samples are wanted, and tells the trainer of them.
    """

    def __init__(self, args: Sampling, cascade: Cascade, busy: Busy, client: ControlClient):
        self._args, self._cascade, self._busy, self._client = args, cascade, busy, client
        self._backlog: asyncio.Queue[Waiting] = asyncio.Queue()
        self._loop: asyncio.Task[None] | None = None

    def check_health(self) -> None:
        """
        Raises:
            RuntimeError: sampled requests are not run on any more.
        """
        check("the loop that runs sampled requests on", self._loop)

    def choose(self) -> float:
        """The probability with which the request at hand was sampled; 0 if it was not."""
        wanted, args = self._client.instructions, self._args
        if wanted.mode == "off":
            return 0.0
        rate = wanted.sample_rate
        if self._backlog.qsize() >= args.max_backlog:
            rate = args.min_rate
        if self._backlog.qsize() >= MAX_WAITING * args.max_backlog:
            return 0.0
        return rate if random.random() < rate else 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While a client waits for its answer."""
        if self._loop is None:
            # In a context of its own: in that of a request, it would be cancelled with the request.
            loop, context = asyncio.get_running_loop(), contextvars.Context()
            self._loop = loop.create_task(self._run_on(), context=context)
        self._busy.change(1)
        try:
            yield
        finally:
            self._busy.change(-1)

    def add(self, trace: Trace, answers: Answers, inclusion: float) -> None:
        """A request that was answered with whatever its trace says.

        Args:
            inclusion: what `choose` said of it.
        """
        wanted = self._client.instructions
        self._client.answered += len(answers.exits)
        if inclusion and not _used_caches(trace) and not wanted.judge:
            for row in range(len(answers.exits)):
                self._observe(row, answers, answers, inclusion, 1.0, trace, True)
        elif inclusion:
            self._backlog.put_nowait(Waiting(trace, answers, inclusion))
        elif wanted.mode != "off":
            for row, exit in enumerate(answers.exits):
                if exit == BASE:
                    self._observe(row, answers, answers, 0.0, 1.0, trace, trace.whole)

    async def _run_on(self) -> None:
        while True:
            trace, answers, inclusion = await self._backlog.get()
            said: Answers = answers
            base: Answers | Answer = answers
            try:
                if not _used_caches(trace):  # so nobody else waits for lookups
                    said = await self._cascade.judge(trace, len(answers.exits))
                elif not trace.whole:
                    base = await self._cascade.finish(trace)
            except Exception as error:  # a lost replica costs a sample, never an answer
                logger.warning("a sampled request was lost: %r", error)
                continue
            for row, exit in enumerate(answers.exits):
                known = 1.0 if exit == BASE else inclusion
                self._observe(row, said, base, inclusion, known, trace, True)

    def _observe(
        self,
        row: int,
        said: Answers,
        base: Answers | Answer,
        inclusion: float,
        known: float,
        trace: Trace,
        whole: bool,
    ) -> None:
        observations = self._client.observations
        truth, exit = int(base.class_ids[row]), said.exits[row]
        whole = whole and len(observations) < MAX_WHOLE
        observations.append(
            Observation(
                exit,
                truth if exit == BASE else int(said.class_ids[row]),
                truth,
                said.cache_version,
                inclusion,
                known,
                tuple(np.array(part[row]) for part in trace.asked) if whole else None,
                trace.resized,
                base.probabilities[row] if whole else None,
            )
        )


def _used_caches(trace: Trace) -> bool:
    assert trace.control is not None, "the cascade says what a request is answered with"
    return trace.control.on
