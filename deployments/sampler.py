"""A router's sampled requests: answered as usual, then run on to the base DNN's end when nobody
waits, and told to the trainer.

A request is chosen before anything is known of it. Under load the share sinks to `min_rate`, and
those are run on after `max_wait_s` even if others wait, because without samples nobody could tell
whether the caches are right.
"""

import asyncio
import logging
import random
import time
from contextlib import contextmanager, suppress

from ray import serve
from ray.exceptions import RayError

from deployments.config import AppArgs
from deployments.late_binding import BASE, Answers, LateBinding, Trace
from deployments.messages import Control, Observation

logger = logging.getLogger(__name__)

TRAINER = "trainer"
EXCHANGE_S = 0.5
MAX_WAITING = 8
"""Times `max_backlog`; beyond it a sampled request is dropped."""


class Sampler:
    """Chooses requests, runs them on, and exchanges with the trainer."""

    def __init__(self, args: AppArgs, late_binding: LateBinding):
        self._args = args
        self._late_binding = late_binding
        self._control = Control(args.mode == "serve", args.sampling.rate)
        self._heard_at = time.monotonic()
        self._active, self._idle = 0, asyncio.Event()
        self._idle.set()
        self._backlog: asyncio.Queue = asyncio.Queue()
        self._observations: list[Observation] = []
        self._answered = 0
        self._tasks: list[asyncio.Task] = []

    @property
    def caches_on(self) -> bool:
        """Whether caches may answer: the trainer says so, and has been heard of lately."""
        lost = time.monotonic() - self._heard_at > self._args.guard.trainer_lost_s
        return self._control.caches_on and not lost

    def choose(self) -> float:
        """The probability with which the request at hand was sampled; 0 if it was not."""
        if self._args.mode == "off":
            return 0.0
        rate = self._control.sample_rate
        if self._backlog.qsize() >= self._args.sampling.max_backlog:
            rate = self._args.sampling.min_rate
        if self._backlog.qsize() >= MAX_WAITING * self._args.sampling.max_backlog:
            return 0.0
        return rate if random.random() < rate else 0.0

    @contextmanager
    def waiting(self):
        """While a client waits for its answer, sampled requests do not run."""
        self._start()
        self._active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    def add(self, trace: Trace | None, answers: Answers, used_caches: bool, inclusion: float):
        """An answered request; `trace` if it was sampled."""
        self._answered += len(answers.exits)
        if trace is not None:
            self._backlog.put_nowait((trace, answers, used_caches, inclusion))

    async def guard_status(self) -> dict:
        """What the trainer says of itself, for `/stats`."""
        if self._args.mode == "off":
            return {"caches": "off"}
        try:
            trainer = serve.get_deployment_actor(TRAINER)
            return await asyncio.wait_for(trainer.status.remote(), 5)
        except (RayError, ValueError, TimeoutError) as error:
            return {"caches": "on" if self.caches_on else "off", "trainer": repr(error)}

    def _start(self) -> None:
        if not self._tasks and self._args.mode != "off":
            loops = (self._run_on(), self._exchange())
            self._tasks = [asyncio.get_running_loop().create_task(loop) for loop in loops]

    async def _run_on(self) -> None:
        while True:
            trace, answers, used_caches, inclusion = await self._backlog.get()
            try:
                if used_caches:
                    said, base = answers, answers.class_ids
                    if not trace.whole:
                        base = await self._late_binding.finish(trace, self._turn)
                else:
                    base = answers.class_ids
                    said = await self._late_binding.judge(trace, len(base), self._turn)
            except Exception as error:  # a lost replica costs a sample, never an answer
                logger.warning("a sampled request was lost: %r", error)
                continue
            for exit, label, truth in zip(said.exits, said.class_ids, base, strict=True):
                label = truth if exit == BASE else label
                self._observations.append(
                    Observation(exit, int(label), int(truth), said.cache_version, inclusion)
                )

    async def _turn(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._args.sampling.max_wait_s)

    async def _exchange(self) -> None:
        while True:
            await asyncio.sleep(EXCHANGE_S)
            observations, self._observations = self._observations, []
            answered, self._answered = self._answered, 0
            try:
                # by name each time: a restarted trainer is another actor
                trainer = serve.get_deployment_actor(TRAINER)
                self._control = await asyncio.wait_for(
                    trainer.exchange.remote(observations, answered), 10
                )
                self._heard_at = time.monotonic()
            except (RayError, ValueError, TimeoutError) as error:
                logger.warning("the trainer does not answer: %r", error)
