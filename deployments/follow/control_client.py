"""A router's side of the exchange with the trainer: what was observed goes out, and what requests
are answered with comes in.

1. Twice a second the observations since the last time go to the trainer.
2. Its instructions come back, and the cascade's control is replaced as a whole; a version that is
   new is first loaded by every lookup, while exchanges go on.
3. Without an answer caches go off after a while.

Until the first answer caches are off: nobody else knows whether an alarm is open.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from ray import serve

from cache_models.cascade import Cascade
from deployments.config import AppArgs
from deployments.follow.messages import Instructions, Observation, Report
from deployments.health import check

logger = logging.getLogger(__name__)

TRAINER = "trainer"
EXCHANGE_S = 0.5
ANSWER_S = 5.0
"""After which the trainer is asked again."""
PREPARE_S = 10.0
"""After which a version that is not loaded everywhere is asked for again."""


class Lookups(Protocol):
    """All replicas of all lookups, and copies here."""

    async def prepare(self, version: int) -> None: ...
    async def forget_here(self) -> None: ...


def find_trainer() -> Any:
    """The trainer's actor; whoever remembers it finds a restarted one no more.

    Raises:
        RayError, ValueError: there is none now.
    """
    return serve.get_deployment_actor(TRAINER)


class ControlClient:
    """
    Args:
        cascade: whose control follows the trainer's.
        lookups: told to load a cache version before requests name it.
        trainer: finds it.
        clock: in seconds.

    Attributes:
        instructions: the trainer's last.
        observations, answered, spent_ms: what the trainer will hear of with the next exchange: rows
            of which the base DNN's answer is known, how many have been answered in all, and the
            processor time of running sampled ones on.
    """

    def __init__(
        self,
        args: AppArgs,
        cascade: Cascade,
        lookups: Lookups,
        trainer: Callable[[], Any] = find_trainer,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._cascade, self._lookups, self._trainer = cascade, lookups, trainer
        self._lost_s = args.guard.trainer_lost_s
        self._clock = clock
        self._heard_at = clock()
        self._loop: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self.instructions = Instructions(args.mode, args.sampling.rate, True, cascade.control)
        self.observations: list[Observation] = []
        self.answered = 0
        self.spent_ms = 0.0

    def start(self) -> None:
        """Begin to exchange, on the running event loop; at once if it has begun."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._exchange_for_ever())

    def check_health(self) -> None:
        """
        Raises:
            RuntimeError: no more will be heard from the trainer.
        """
        check("the exchange with the trainer", self._loop)

    @property
    def silence_s(self) -> float:
        """Since the trainer's last word."""
        return self._clock() - self._heard_at

    async def asked(self) -> None:
        """Returns once the trainer has been asked, and has answered or does not."""
        await self._asked.wait()

    async def _exchange_for_ever(self) -> None:
        while True:
            await self.exchange()
            await asyncio.sleep(EXCHANGE_S)

    async def exchange(self) -> None:
        """Tell the trainer what was observed, and do as it says."""
        report = Report(self.observations, self.answered, self.spent_ms / 1e3)
        self.observations, self.answered, self.spent_ms = [], 0, 0.0
        try:
            async with asyncio.timeout(ANSWER_S):  # wait_for may lose a cancellation
                told = await self._trainer().exchange.remote(report)
        except Exception as error:  # whatever it is, there is no word of the trainer
            logger.warning("the trainer does not answer: %r", error)
            if self.silence_s > self._lost_s:  # nobody can tell whether the caches are right
                self._cascade.control = self._cascade.control._replace(on=False)
        else:
            self._heard_at = self._clock()
            if told.forgotten != self.instructions.forgotten:
                await self._lookups.forget_here()
            self._follow(told)
        self._asked.set()

    def _follow(self, told: Instructions) -> None:
        self.instructions = told
        now = self._cascade.control
        if told.control.version == now.version:
            self._cascade.control = told.control
            return
        # The threshold is the other version's, but an alarm is for both.
        self._cascade.control = now._replace(on=now.on and told.control.on)
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.get_running_loop().create_task(
                self._serve(told.control.version)
            )

    async def _serve(self, version: int) -> None:
        """Serve a version as soon as every lookup has it, if it is still wanted then."""
        if await self._prepared(version) and self.instructions.control.version == version:
            self._cascade.control = self.instructions.control

    async def _prepared(self, version: int) -> bool:
        """Whether every lookup replica has loaded a version."""
        try:
            async with asyncio.timeout(PREPARE_S):
                await self._lookups.prepare(version)
        except Exception as error:  # a replica is on its way; try again with the next exchange
            logger.warning("version %d is not everywhere yet: %r", version, error)
            return False
        return True
