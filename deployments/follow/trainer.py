"""The actor that watches the caches in service, and retrains them.

Routers tell what they observed and are told in return what to do; one exchange, twice a second, is
all that binds them. This actor only connects:

- `ControlPolicy`, what routers are told;
- `Schedule`, what is due and why;
- `TrainerState`, what survives a crash;
- `Learner`, which computes, and is made when there is first something to learn from.

The event loop only counts. What needs PyTorch or the disk is done by two threads: one writes
samples down as they come, one learns, at the lowest priority. After a crash Serve starts the actor
anew; what it wrote down at most `TICK_S` before is there again.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from cache_models.errors import ArtifactError
from cache_models.network.threads import lowest_priority
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import AppArgs, Mode
from deployments.follow.control_policy import ControlPolicy
from deployments.follow.duty_cycle import DutyCycle
from deployments.follow.messages import Instructions, Observation, Report
from deployments.follow.metrics import Rounds, record, recorder
from deployments.follow.ownership import Ownership
from deployments.follow.sample_rate import processors
from deployments.follow.schedule import Schedule
from deployments.follow.served import told
from deployments.follow.state import TrainerState
from deployments.follow.stored import open_log
from deployments.metrics.recorder import record_for_ever

if TYPE_CHECKING:  # it needs PyTorch, which only threads wait for
    from deployments.follow.learner import Learner

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

TICK_S = 1.0
RECORD_S, RECORD_BESIDE_S = 2.0, 0.25
"""Features that a build has not left are recorded so long at a time while nobody asks, and beside
requests, whose latency it doubles where they meet."""
QUEUED, FIRST = 2_000, 100
"""Observations with features that wait to be written down, at most, and that there must be for a
learner to be made beside requests."""


class Trainer:
    """Deployment-scoped: Serve starts it with the router, restarts it, and ends it."""

    def __init__(self, args: str, plan: str):
        """
        Args:
            args, plan: `AppArgs`, its store a path, and the deployed `Plan`, as JSON: Serve hands
                models on as dictionaries.

        Raises:
            ArtifactError: the store has no version that could be served.
        """
        self._args = AppArgs.model_validate_json(args)
        self._plan = Plan.model_validate_json(plan)
        self._owns = Ownership(Store(self._args.store).folder)
        self._log = open_log(self._args, self._plan)
        self._state = TrainerState(self._log, self._args.mode)
        version = Store(self._args.store).serving(self._plan)
        self._policy = ControlPolicy(self._args, version, processors())
        self._policy.watch.block_s = self._log.block_or_unknown_s
        if self._state.watch is not None:
            self._policy.watch.restore(self._state.watch)
        self._schedule = Schedule(self._args.retraining, has_caches=bool(self._plan.caches))
        self._queue: list[Observation] = []
        self._answered, self._idle = 0, True
        self._learner: Learner | None = None
        self._rounds, self._build_recorded = Rounds(), False
        self._writing = ThreadPoolExecutor(1, "write")
        self._learning = ThreadPoolExecutor(1, "learn", initializer=lowest_priority)
        self._ticking: asyncio.Task[None] | None = None
        self._work: asyncio.Task[None] | None = None

    async def exchange(self, report: Report) -> Instructions:
        """Take in what a router observed since its last exchange."""
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.get_running_loop().create_task(self._tick_for_ever())
        self._answered += report.answered
        self._policy.hear(report, self._state.mode)
        whole = [o for o in report.observations if o.asked is not None]
        self._queue += whole[: QUEUED - len(self._queue)]
        return self._policy.instructions(self._state.mode)

    async def status(self) -> dict[str, Any]:
        """For `/stats`."""
        told, recorded = await self._now(), await self._write(self._recorded)
        return {**told, "retraining": {**told["retraining"], **recorded}}

    async def _now(self) -> dict[str, Any]:
        """What needs no disk, for metrics, too."""
        state = self._state
        return {
            **self._policy.status(state.mode),
            "mode": state.mode,
            "pinned": state.pinned,
            "unproven": self._policy.version.number in state.unproven,
            "retraining": {
                "new_samples": self._schedule.new_samples,
                "build_samples_recorded": self._build_recorded,
                "queued": len(self._queue),
                "elsewhere": not self._owns.mine(),
                "outcomes": self._rounds.told(),
            },
        }

    def _recorded(self) -> dict[str, Any]:
        last = self._log.rounds(1)
        return {
            "stored_samples": self._log.count(build=False),
            "altered_copies": self._log.count_copies(),
            "rounds": self._log.count_rounds(),
            "advice": last[0].get("advice") if last else None,
            **(self._learner.evidence() if self._learner else {}),
        }

    async def set_mode(self, mode: Mode) -> None:
        """Also after a restart; ValueError: another application writes to the store."""
        self._owns.check()
        self._state.mode = mode
        await self._write(self._state.keep)

    async def pin(self, pinned: bool) -> None:
        """Whether to stop publishing; rounds go on, and say what they would have done."""
        self._owns.check()
        self._state.pinned = pinned
        await self._write(self._state.keep)

    async def forget_streams(self) -> None:
        """What routers remember of streams is forgotten with their next exchange."""
        self._policy.forgotten += 1

    async def retrain(self) -> None:
        """Run a round as soon as there is time; ValueError: the store is another's."""
        self._owns.check()
        self._schedule.ask_for_round()

    async def roll_back(self, number: int) -> dict[str, Any]:
        """Serve another kept version.

        Raises:
            ValueError: it is not there, has other cut points, or the store is another's.
        """
        self._owns.check()
        learner = await self._have_learner()
        try:
            proven, unproven = await self._learn(
                lambda: (learner.roll_back(number), learner.unproven)
            )
        except ArtifactError as error:
            raise ValueError(str(error)) from error
        self._state.unproven = unproven
        self._policy.serve(learner.version)
        return {"cache_version": number, "proven": proven}

    async def versions(self) -> list[dict[str, Any]]:
        """What could be served."""
        kept = await self._write(Store(self._args.store).fitting, self._plan)
        return told(kept, self._policy.version.number, self._state.unproven)

    async def rounds(self) -> list[dict[str, Any]]:
        """Records of the last rounds."""
        return self._policy.served.beside(await self._write(self._log.rounds))

    async def delete_samples(self) -> None:
        """Forget all stored samples of the traffic; ValueError: they are another's."""
        self._owns.check()
        self._queue.clear()
        await self._write(self._log.delete_samples)

    async def _tick_for_ever(self) -> None:
        self._recording = record_for_ever(self._now, partial(record, recorder()))
        said = ""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._tick()
                said = ""
            except Exception as error:  # the next tick may do better; serving does not wait for it
                if said != (said := str(error)):
                    logger.exception("the trainer's work failed")

    async def _tick(self) -> None:
        self._idle, self._answered = not self._answered, 0
        if not self._owns.mine():
            self._queue.clear()
            return
        watch = self._policy.watch.state()
        if self._schedule.tidy_due():
            await self._write(self._log.tidy)
        if self._queue and not self._waits:
            learner = await self._have_learner()
            queue, self._queue = self._queue, []
            try:
                self._policy.watch.block_s = await self._write(self._write_down, learner, queue)
            except ArtifactError:  # as on a full disk
                self._queue = [*queue, *self._queue][:QUEUED]
                raise
            self._schedule.new_samples += len(queue)
        self._state.watch = watch  # after what was seen before an alarm, which ends the window
        await self._write(self._state.keep)
        if self._work is None or self._work.done():
            last, self._work = self._work, asyncio.create_task(self._do_what_is_due())
            if last is not None:
                last.result()  # or why there was none

    @property
    def _waits(self) -> bool:
        """Whether the learner may come later, for PyTorch should not meet the first requests."""
        return self._learner is None and not self._idle and len(self._queue) < FIRST

    def _write_down(self, learner: "Learner", queue: list[Observation]) -> float:
        self._log.add(map(learner.sample, queue))
        return self._log.block_or_unknown_s

    async def _do_what_is_due(self) -> None:
        if self._waits:
            return
        due = self._schedule.round_due(self._policy.seen())
        if due is None and self._learner is None:
            return  # nothing to learn from yet
        learner = await self._have_learner()
        if due and learner.may_begin and (due.asked_for or await self._write(learner.can_test)):
            await self._round(learner, due.why)
        elif not self._build_recorded and (due or self._args.retraining.rounds):
            seconds = RECORD_S if self._idle else RECORD_BESIDE_S
            self._build_recorded = await self._learn(learner.record_build, seconds)
        elif self._args.retraining.rounds and (self._idle or self._policy.may_spend):
            spent_s = await self._learn(learner.make_copies, TICK_S if self._idle else 0.0)
            if not self._idle:
                self._policy.spend(spent_s)

    async def _round(self, learner: "Learner", why: str) -> None:
        self._schedule.round_begins(self._policy.seen())
        logger.info("round of retraining: %s", why)
        began = time.time()
        try:
            watch, pinned = self._policy.watch, self._state.pinned
            alarms = watch.alarms
            decided = await self._learn(
                learner.round, why, pinned, watch.threshold, lambda: watch.alarms > alarms
            )
        except Exception as error:
            logger.exception("a round failed")
            failed = {"began": began, "at": time.time(), "why": why, "failed": True}
            decided = failed | {"published": None, "why_not": f"it failed: {error!r}"}
        decided["until_then"] = self._policy.served.told()
        self._rounds.add(decided)
        await self._write(self._decided, learner, decided)
        if decided["published"] is not None:
            self._policy.serve(learner.version)
        logger.info("round decided: %s", decided)

    def _decided(self, learner: "Learner", record: dict[str, Any]) -> None:
        self._log.add_round(json.dumps(record))
        self._log.tidy()
        learner.retain(self._args.retraining.kept_versions)

    async def _have_learner(self) -> "Learner":
        if self._learner is None:
            return await self._learn(self._make_learner)
        return self._learner

    def _make_learner(self) -> "Learner":
        if self._learner is not None:  # it was asked for twice
            return self._learner
        import torch

        from deployments.follow.learner import Learner

        args = self._args.retraining
        torch.set_num_threads(args.threads)
        # Until there are caches nothing is gained by waiting for them.
        duty_cycle = DutyCycle(args.share, lambda: self._policy.trained and not self._idle)
        store, rest = self._args.store, duty_cycle.rest
        self._learner = Learner(self._plan, store, self._log, rest, args.threads, args.keep)
        return self._learner

    async def _write(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._writing, function, *args)

    async def _learn(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._learning, function, *args)
