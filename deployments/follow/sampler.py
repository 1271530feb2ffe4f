"""A router's side of the watch: which requests are run on to the base DNN's end after they have
been answered, what is told of them to the trainer, and what the trainer says in return.

A request is chosen before anything is known of it. It is run on when nobody waits, or after
`max_wait_s` even if others wait, because without samples nobody could tell whether the caches are
right; but whenever that happens the share of requests that are chosen is halved, down to
`min_rate`, and it grows again while there is idle time. Requests that the base DNN answered anyway
are told of, too.
"""

import asyncio
import logging
import random
import time
from contextlib import contextmanager

import numpy as np
from ray import serve
from ray.exceptions import RayError

from cache_models.cascade import Answers, Cascade, Trace
from cache_models.cascade import Control as _Now
from cache_models.network.stages import BASE, Answer
from deployments.config import AppArgs
from deployments.graph.speculation import Busy
from deployments.transport.messages import Control, Observation, Prior
from deployments.transport.remote import Remote

logger = logging.getLogger(__name__)

TRAINER = "trainer"
EXCHANGE_S = 0.5
IDLE_S = 0.01
"""Without a request, before it counts as idle: a client that sends one request after the other
leaves gaps that are too short for a slice."""
FEWER, MORE = 0.5, 1.1
"""Times the share of requests that are chosen, when one had to be run on before others, and when
there was time for it."""
MAX_WAITING = 8
"""Times `max_backlog`; beyond it a sampled request is dropped."""
MIX_FORGOTTEN_S = 5.0
"""Without the trainer's word, the class mix of the moment is not known any longer than this."""
MAX_WHOLE = 64
"""Observations in one exchange that carry features; more are told of without."""


class Sampler:
    """Chooses requests, runs them on, and exchanges with the trainer.

    Args:
        lookups: told to load a cache version before requests name it.
    """

    def __init__(self, args: AppArgs, cascade: Cascade, busy: Busy, lookups: list[Remote]):
        self._args = args
        self._cascade, self._busy = cascade, busy
        self._lookups = lookups
        self._control = Control(
            args.mode, args.mode == "serve", args.sampling.rate, cascade.control.version
        )
        self._heard_at = time.monotonic()
        self._active, self._idle = 0, asyncio.Event()
        self._idle_since = 0.0
        self._idle.set()
        self._backlog: asyncio.Queue = asyncio.Queue()
        self._leisure = 1.0
        self._observations: list[Observation] = []
        self._answered = 0
        self._tasks: list[asyncio.Task] = []

    @property
    def mode(self) -> str:
        return self._control.mode

    def choose(self) -> float:
        """The probability with which the request at hand was sampled; 0 if it was not."""
        if self.mode == "off":
            return 0.0
        sampling = self._args.sampling
        rate = max(sampling.min_rate, self._leisure * self._control.sample_rate)
        if self._backlog.qsize() >= sampling.max_backlog:
            rate = sampling.min_rate
        if self._backlog.qsize() >= MAX_WAITING * sampling.max_backlog:
            return 0.0
        return rate if random.random() < rate else 0.0

    @contextmanager
    def waiting(self):
        """While a client waits for its answer, sampled requests do not run."""
        self.start()
        self._active += 1
        self._busy.change(1)
        self._idle.clear()
        try:
            yield
        finally:
            self._active -= 1
            self._busy.change(-1)
            if not self._active:
                self._idle_since = time.monotonic()
                self._idle.set()

    def add(self, trace: Trace, answers: Answers, used_caches: bool, inclusion: float) -> None:
        """An answered request.

        Args:
            inclusion: what `choose` said of it.
        """
        self._answered += len(answers.exits)
        if inclusion and not used_caches and not self._control.judge:
            for row in range(len(answers.exits)):
                self._observe(row, answers, answers, inclusion, 1.0, trace, True)
        elif inclusion:
            self._backlog.put_nowait((time.monotonic(), trace, answers, used_caches, inclusion))
        elif self.mode != "off":
            for row, exit in enumerate(answers.exits):
                if exit == BASE:
                    self._observe(row, answers, answers, 0.0, 1.0, trace, trace.whole)

    def start(self) -> None:
        """Begin to run on and to exchange, on the running event loop; at once if it has begun."""
        if not self._tasks:
            loops = (self._run_on(), self._exchange())
            self._tasks = [asyncio.get_running_loop().create_task(loop) for loop in loops]

    async def _run_on(self) -> None:
        while True:
            since, trace, answers, used_caches, inclusion = await self._backlog.get()
            try:
                said = base = answers
                if not used_caches:  # so nobody else waits for lookups
                    said = await self._cascade.judge(trace, len(base.exits))
                elif not trace.whole:
                    until = since + self._args.sampling.max_wait_s
                    base = await self._cascade.finish(trace, lambda by=until: self._turn(by))
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
        truth, exit = int(base.class_ids[row]), said.exits[row]
        whole = whole and len(self._observations) < MAX_WHOLE
        self._observations.append(
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

    async def _turn(self, by: float) -> None:
        """Returns once nobody waits, or at the moment `by` (of `time.monotonic`)."""
        try:
            async with asyncio.timeout(max(0.0, by - time.monotonic())):
                while self._active or time.monotonic() - self._idle_since < IDLE_S:
                    await self._idle.wait()
                    await asyncio.sleep(IDLE_S)
        except TimeoutError:
            least = self._args.sampling.min_rate / self._control.sample_rate
            self._leisure = max(least, FEWER * self._leisure)
        else:
            self._leisure = min(1.0, MORE * self._leisure)

    async def _exchange(self) -> None:
        while True:
            await asyncio.sleep(EXCHANGE_S)
            observations, self._observations = self._observations, []
            answered, self._answered = self._answered, 0
            try:
                # by name each time: a restarted trainer is another actor
                trainer = serve.get_deployment_actor(TRAINER)
                async with asyncio.timeout(MIX_FORGOTTEN_S):  # wait_for may lose a cancellation
                    control = await trainer.exchange.remote(observations, answered)
            except (RayError, ValueError, TimeoutError) as error:
                logger.warning("the trainer does not answer: %r", error)
                self._forget()
                continue
            self._heard_at = time.monotonic()
            await self._follow(control)

    def _forget(self) -> None:
        """Without the trainer's word the class mix is soon unknown, and later caches go off."""
        silent_s, now = time.monotonic() - self._heard_at, self._cascade.control
        if silent_s >= MIX_FORGOTTEN_S:
            now = now._replace(log_ratio=None, threshold=None)
        on = now.on and silent_s <= self._args.guard.trainer_lost_s
        self._cascade.control = now._replace(on=on)

    async def _follow(self, control: Control) -> None:
        """Do as the trainer says; a new version once every lookup replica has it."""
        self._control = control
        self._cascade.control = self._cascade.control._replace(on=control.caches_on)  # an alarm?
        prior, version = control.prior, self._cascade.control.version
        if control.version not in (None, version):
            try:
                loaded = (lookup.broadcast("prepare", control.version) for lookup in self._lookups)
                async with asyncio.timeout(10):
                    await asyncio.gather(*loaded)
            except Exception as error:  # a replica is on its way; try again with the next exchange
                logger.warning("version %d is not everywhere yet: %r", control.version, error)
                prior = Prior()
            else:
                version = control.version
        self._cascade.control = _Now(version, control.caches_on, *prior)
