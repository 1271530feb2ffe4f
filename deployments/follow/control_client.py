"""A router's side of the exchange with the trainer: what was observed goes out, and what requests
are answered with comes in.

1. Twice a second the observations since the last time go to the trainer.
2. Its instructions come back, and the cascade's control is replaced as a whole; a version that is
   new is first loaded by every lookup, while exchanges go on.
3. Without an answer the class mix is soon unknown, and later caches go off.

Until the first answer caches are off: nobody else knows whether an alarm is open.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from ray import serve

from cache_models.cascade import Cascade, Control
from deployments.config import AppArgs
from deployments.follow.health import check
from deployments.follow.messages import Instructions, Observation

logger = logging.getLogger(__name__)

TRAINER = "trainer"
EXCHANGE_S = 0.5
MIX_FORGOTTEN_S = 5.0
"""Without the trainer's word, the class mix of the moment is not known any longer than this."""
PREPARE_S = 10.0
"""After which a version that is not loaded everywhere is asked for again."""


class Lookups(Protocol):
    """All replicas of all lookups."""

    async def prepare(self, version: int) -> None: ...


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
        observations, answered: what the trainer will hear of with the next exchange: rows of which
            the base DNN's answer is known, and how many rows have been answered in all.
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

    async def asked(self) -> None:
        """Returns once the trainer has been asked, and has answered or does not."""
        await self._asked.wait()

    async def _exchange_for_ever(self) -> None:
        while True:
            await self.exchange()
            await asyncio.sleep(EXCHANGE_S)

    async def exchange(self) -> None:
        """Tell the trainer what was observed, and do as it says."""
        observations, self.observations = self.observations, []
        answered, self.answered = self.answered, 0
        try:
            async with asyncio.timeout(MIX_FORGOTTEN_S):  # wait_for may lose a cancellation
                told = await self._trainer().exchange.remote(observations, answered)
        except Exception as error:  # whatever it is, there is no word of the trainer
            logger.warning("the trainer does not answer: %r", error)
            silent_s = self._clock() - self._heard_at
            self._cascade.control = untold(self._cascade.control, silent_s, self._lost_s)
        else:
            self._heard_at = self._clock()
            self._follow(told)
        self._asked.set()

    def _follow(self, told: Instructions) -> None:
        self.instructions = told
        version = self._cascade.control.version
        if told.control.version == version:
            self._cascade.control = told.control
            return
        # The mix is for the other version, but an alarm is for both.
        self._cascade.control = Control(version, told.control.on)
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


def untold(control: Control, silent_s: float, lost_s: float) -> Control:
    """What still holds of `control` after `silent_s` without the trainer's word.

    Args:
        lost_s: after which nobody can tell whether the caches are right.

    >>> import numpy as np
    >>> mix = Control(7, True, np.array([0.5, -1.5]), 0.9)
    >>> untold(mix, silent_s=1.0, lost_s=60.0) is mix
    True
    >>> untold(mix, silent_s=5.0, lost_s=60.0)
    Control(version=7, on=True, log_ratio=None, threshold=None)
    >>> untold(mix, silent_s=61.0, lost_s=60.0).on
    False
    """
    if silent_s >= MIX_FORGOTTEN_S:
        control = control._replace(log_ratio=None, threshold=None)
    return control if silent_s <= lost_s else control._replace(on=False)
