"""Chooses requests, and runs them on to the base DNN's end after they have been answered.

A request is chosen before anything is known of it, and of a chosen one a single row, drawn at
random, stands for it: the rows of a request are alike, so more of them would say little. It is run
on by threads of the lowest priority, so that nobody waits for it. Rows that the base DNN answered
anyway are told of, too.
"""

import asyncio
import contextvars
import logging
import random
from collections.abc import Callable
from typing import NamedTuple

from cache_models.cascade import Answers, Cascade, Trace
from cache_models.network.stages import BASE, Answer
from deployments.config import Sampling
from deployments.follow.control_client import ControlClient
from deployments.follow.messages import Observation
from deployments.health import check
from deployments.tracing import spans

logger = logging.getLogger(__name__)

MAX_WAITING = 8
"""Times `max_backlog`; beyond it a sampled request is dropped."""
MAX_WHOLE = 64
"""Observations in one exchange that carry features; more are told of without."""


class Waiting(NamedTuple):
    """A sampled request that has been answered, and not yet been run on.

    Attributes:
        inclusion: probability with which it was sampled.
        rows: of the request.
        context: of its spans, where it is traced.
    """

    trace: Trace
    answers: Answers
    inclusion: float
    rows: int
    context: spans.Context | None = None


class Sampler:
    """
    Args:
        cascade: that runs them on.
        client: says how many samples are wanted, and tells the trainer of them.
        pressed: whether requests need all that there is just now; then few are sampled.

    Attributes:
        taken, finished, dropped: sampled requests: each is told of to the trainer at last, or
            dropped, because too many wait or it was lost on its way.
    """

    def __init__(
        self,
        args: Sampling,
        cascade: Cascade,
        client: ControlClient,
        pressed: Callable[[], bool] = lambda: False,
    ):
        self._args, self._cascade, self._client = args, cascade, client
        self._pressed = pressed
        self._backlog: asyncio.Queue[Waiting] = asyncio.Queue()
        self._loop: asyncio.Task[None] | None = None
        self.taken = self.finished = self.dropped = 0

    def counts(self) -> dict[str, int]:
        """For `/stats`."""
        return {
            "taken": self.taken,
            "finished": self.finished,
            "dropped": self.dropped,
            "waiting": self._backlog.qsize(),
        }

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
        if self._pressed() or self._backlog.qsize() >= args.max_backlog:
            rate = min(rate, args.min_rate)
        if random.random() >= rate:
            return 0.0
        if self._backlog.qsize() >= MAX_WAITING * args.max_backlog:
            self.taken += 1
            self.dropped += 1
            return 0.0
        return rate

    def add(self, trace: Trace, answers: Answers, inclusion: float, rows: int) -> None:
        """A request that has been answered.

        Args:
            trace: of one of its rows, drawn at random.
            answers: with that row at the trace's place.
            inclusion: what `choose` said of it.
            rows: of the request.
        """
        wanted = self._client.instructions
        self._client.answered += rows
        self.taken += inclusion > 0
        if inclusion and (_used_caches(trace) or wanted.judge):
            self._start()
            self._backlog.put_nowait(Waiting(trace, answers, inclusion, rows, spans.context()))
        elif wanted.mode != "off" and trace.whole:
            self._observe(Waiting(trace, answers, inclusion, rows), answers, trace.row)

    def _start(self) -> None:
        if self._loop is None:
            # In a context of its own: in that of a request, it would be cancelled with the request.
            loop, context = asyncio.get_running_loop(), contextvars.Context()
            self._loop = loop.create_task(self._run_on(), context=context)

    async def _run_on(self) -> None:
        while True:
            waiting = await self._backlog.get()
            trace = waiting.trace
            base: tuple[Answers | Answer, int] = waiting.answers, trace.row
            try:
                with spans.run_on(waiting.context):
                    if not trace.whole:
                        base = await self._cascade.finish(trace), 0
                    await self._cascade.judge(trace)
                self._cascade.remember(trace, int(base[0].class_ids[base[1]]))
            except Exception as error:  # a lost replica costs a sample, never an answer
                logger.warning("a sampled request was lost: %r", error)
                self.dropped += 1
                continue
            finally:
                self._client.spent_ms += trace.compute_ms
            self._observe(waiting, *base)

    def _observe(self, of: Waiting, base: Answers | Answer, row: int) -> None:
        """
        Args:
            base: the base DNN's answer, in that row.
        """
        observations, trace = self._client.observations, of.trace
        exit = of.answers.exits[trace.row]
        kept = len(observations) < MAX_WHOLE
        self.finished += of.inclusion > 0
        assert trace.control is not None, "the cascade says what a request is answered with"
        observations.append(
            Observation(
                int(base.class_ids[row]),
                exit,
                tuple(trace.said),
                trace.control.version,
                of.rows / of.inclusion if of.inclusion else 0.0,
                of.rows if exit == BASE else of.rows / of.inclusion,
                trace.stream,
                trace.at,
                tuple(part[0] for part in trace.asked) if kept else None,
                trace.resized,
                base.probabilities[row] if kept else None,
            )
        )


def _used_caches(trace: Trace) -> bool:
    assert trace.control is not None, "the cascade says what a request is answered with"
    return trace.control.on
