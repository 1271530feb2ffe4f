"""The actor that watches the caches in service, follows the class mix, and retrains.

Routers send what they observed and are told in return what to do; one exchange, twice a second, is
all that binds them. The event loop only counts. What needs PyTorch or the disk is done by two
threads: one writes samples down as they come, one learns, at the lowest priority and in turn:

1. judge how sharp the class prior may be, when the mix has moved;
2. run a round of retraining, when there is reason to;
3. record the build's samples, once. Rounds begin when there are enough of every class.

After a crash Serve starts the actor anew; what it wrote down at most `TICK_S` before is there
again.
"""

import asyncio
import json
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from cache_models.errors import ArtifactError
from cache_models.follow.traffic_log import TrafficLog
from cache_models.promise.class_prior import Arrivals, ClassPrior, Excess, RecentRate
from cache_models.promise.promise import Promise
from deployments.config import AppArgs
from deployments.follow.duty_cycle import Pace
from deployments.follow.watch import Watch
from deployments.transport.messages import Control, Observation, Prior

logger = logging.getLogger(__name__)

TICK_S = 1.0
RECORD_S, RECORD_BESIDE_S = 2.0, 0.25
"""The build's samples are recorded so long at a time while there are no requests, and so much of a
tick beside them: even at the lowest priority it doubles the latency of those that it meets, so that
a quarter of the time costs the mean no more than a quarter."""
QUEUED = 2_000
"""Observations with features that wait to be written down; more are dropped."""
RECALIBRATE_S, MIX_MOVED, MOVED_S = 30.0, 0.1, 10.0
"""The prior is judged anew at least so often; when the mix has moved so far, so soon."""
LOG = "traffic.sqlite"


class Trainer:
    """Deployment-scoped: Serve starts it with the router, restarts it, and ends it."""

    def __init__(self, args: str, plan: str):
        """
        Args:
            args, plan: `AppArgs`, its store a path, and the deployed `Plan`, as JSON: Serve hands
                models on as dictionaries, and `Plan` needs PyTorch, which only threads wait for.
        """
        self._args = args = AppArgs.model_validate_json(args)
        self._plan_json, plan = plan, json.loads(plan)
        self._promise = promise = Promise.model_validate(plan["promise"])
        self._watch = Watch(promise.limits, args.guard, args.sampling)
        self._has_caches = bool(plan["caches"])
        self._trained = promise.threshold is not None
        self._log = TrafficLog(
            Path(args.store) / LOG,
            [tuple(cache["feature_shape"]) for cache in plan["caches"]],
            len(plan["description"]["classes"]),
            args.retraining.window,
            args.retraining.expire_s,
        )
        self._prior = ClassPrior(np.array(plan["class_shares"]))
        self._arrivals = Arrivals()
        self._sampled = RecentRate(args.sampling.rate)
        self._excess = Excess(promise.disagreement)
        self._judged = None  # a PriorRecord, whose module needs PyTorch
        self._judged_mix, self._judged_at, self._judged_rate = None, 0.0, args.sampling.rate
        self._mode = self._log.state("mode", args.mode)
        self._pinned = self._log.state("pinned", False)
        self._unproven: list[int] = []
        if watch := self._log.state("watch"):
            self._watch.restore(watch)
        self._raised = 0
        self._asked_for: str | None = None
        self._new_samples = 0
        self._last_round = {"at": time.time(), "mix": None, "hit_rate": None}
        self._queue: list[Observation] = []
        self._learner = None
        self._version: int | None = None  # routers know one until the learner is there
        self._busy = False
        self._answered, self._idle = 0, True
        self._build_recorded = False
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._learning = ThreadPoolExecutor(
            1, thread_name_prefix="learn", initializer=_lowest_priority
        )
        self._ticking: asyncio.Task | None = None

    # --- routers ---------------------------------------------------------------------------------

    async def exchange(self, observations: list[Observation], answered: int) -> Control:
        """Take in what a router observed among the `answered` requests since its last exchange."""
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick_for_ever())
        self._answered += answered
        self._prior.advance(answered)
        for observation in observations:
            if self._prior.observe(observation.base_class_id, 1 / observation.known):
                self._raised = self._args.sampling.raised_samples
            if observation.inclusion:
                self._raised -= self._raised > 0
                if self._version in (None, observation.version):
                    self._watch.observe(observation)
                    self._excess.observe(observation.class_id != observation.base_class_id)
            if observation.asked is not None and len(self._queue) < QUEUED:
                self._queue.append(observation)
        if self._mode != "off":  # where nobody samples
            sampled = sum(o.inclusion > 0 for o in observations)
            self._watch.count(answered, sampled)
            self._sampled.update(answered, sampled)
        self._arrivals.update(answered, self._prior.shares)
        return self._control()

    def _control(self) -> Control:
        caches_on = self._mode == "serve" and self._trained and self._watch.why_off is None
        return Control(
            self._mode,
            caches_on,
            self._sample_rate(),
            self._version,
            self._prior_of_the_moment(),
            judge=self._trained,
        )

    def _prior_of_the_moment(self) -> Prior:
        if self._judged is None or self._sampled_less():
            return Prior()
        sharp = self._judged.least_share < 1
        log_ratio = self._prior.log_ratio().astype(np.float32) if sharp else None
        return Prior(log_ratio, self._judged.threshold)

    def _sample_rate(self) -> float:
        sampling = self._args.sampling
        if self._watch.why_off or (self._has_caches and not self._trained):
            return 1.0
        return max(sampling.rate, sampling.raised_rate) if self._raised else sampling.rate

    # --- operators -------------------------------------------------------------------------------

    async def status(self) -> dict:
        """For `/stats`."""
        watch = self._watch
        last = await self._write(self._log.rounds, 1)
        return {
            "guard": {
                "caches": "off: " + watch.why_off if watch.why_off else self._mode,
                **watch.status(),
            },
            "mode": self._mode,
            "cache_version": self._version,
            "unproven": self._version in self._unproven,
            "pinned": self._pinned,
            "sample_rate": self._sample_rate(),
            "class_mix": self._prior.shares.round(4).tolist(),
            "prior": self._judged.model_dump() if self._judged else None,
            "mistakes_to_expected": round(self._excess.ratio, 3),
            "retraining": {
                "new_samples": self._new_samples,
                "build_samples_recorded": self._build_recorded,
                "rounds": await self._write(self._log.count_rounds),
                "advice": last[0].get("advice") if last else None,
                **(await self._write(self._learner.evidence) if self._learner else {}),
            },
        }

    async def set_mode(self, mode: str) -> None:
        """`serve`, `shadow` or `off`, also after a restart."""
        self._mode = mode
        await self._keep("mode", mode)

    async def pin(self, pinned: bool) -> None:
        """Whether to stop publishing; rounds go on, and say what they would have done."""
        self._pinned = pinned
        await self._keep("pinned", pinned)

    async def retrain(self) -> None:
        """Run a round as soon as the learning thread is free."""
        self._asked_for = "an operator asked for it"

    async def roll_back(self, number: int) -> dict:
        """Serve another kept version.

        Raises:
            ValueError: it is not there, or has other cut points.
        """
        await self._have_learner()
        try:
            proven = await self._learn(self._learner.roll_back, number)
        except ArtifactError as error:
            raise ValueError(str(error)) from error
        self._unproven = await self._write(lambda: self._learner.unproven)
        self._follow_version()
        self._watch.switch_on()
        return {"cache_version": number, "proven": proven}

    async def versions(self) -> list[dict]:
        """What could be served."""
        await self._have_learner()
        return [
            {
                "cache_version": version.number,
                "serving": version.number == self._version,
                "unproven": version.number in self._unproven,
                "data": version.plan.data,
                "threshold": version.plan.promise.threshold,
                "disagreements": version.plan.promise.disagreements,
                "tested_on": version.plan.promise.samples,
                "expected": version.plan.expected.model_dump(),
            }
            for version in await self._write(self._learner.versions)
        ]

    async def rounds(self) -> list[dict]:
        """Records of the last rounds."""
        return await self._write(self._log.rounds)

    async def delete_samples(self) -> None:
        """Forget all stored samples of the traffic."""
        self._queue.clear()
        await self._write(self._log.delete_samples)

    # --- work ------------------------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._tick()
            except Exception:  # the next tick may do better; serving does not wait for it
                logger.exception("the trainer's work failed")

    async def _tick(self) -> None:
        await self._have_learner()
        self._idle, self._answered = not self._answered, 0
        queue, self._queue = self._queue, []
        self._new_samples += len(queue)
        await self._write(self._write_down, queue, self._watch.state())
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().create_task(self._next_work())

    async def _next_work(self) -> None:
        try:
            if self._args.retraining.prior and self._prior_is_due():
                await self._judge_prior()
            elif self._learner.may_begin and (why := await self._why_round()):
                await self._round(why)
            elif not self._build_recorded and (self._args.retraining.rounds or self._asked_for):
                self._build_recorded = await self._learn(
                    self._learner.record_build, RECORD_S if self._idle else RECORD_BESIDE_S
                )
        except Exception:
            logger.exception("the trainer's work failed")
        finally:
            self._busy = False

    def _write_down(self, queue: list[Observation], watch: dict) -> None:
        self._log.add(map(self._learner.sample, queue))
        self._log.set_state("watch", watch)
        self._log.commit()

    def _prior_is_due(self) -> bool:
        if self._arrivals.present is None or not self._trained:
            return False
        moved = self._judged_mix is None or _distance(self._judged_mix, self._prior.shares)
        since = time.monotonic() - self._judged_at
        return (
            since > RECALIBRATE_S or (moved > MIX_MOVED and since > MOVED_S) or self._sampled_less()
        )

    def _sampled_less(self) -> bool:
        """Whether so few requests are sampled by now that the prior, which sees hits in samples
        alone, would follow later than it was judged to."""
        return self._sampled.rate < self._judged_rate / 2

    async def _judge_prior(self) -> None:
        mix = self._prior.shares
        rate = min(self._sampled.rate, self._args.sampling.rate)
        too_rare, record = rate < self._args.sampling.min_rate / 2, None
        try:
            if not too_rare:
                record = await self._learn(
                    self._learner.calibrate_prior,
                    self._prior.observed if self._prior.told_apart() else self._prior.trained,
                    self._arrivals.rate(),
                    rate,
                    self._excess.ratio,
                )
        finally:  # also where it failed, which must not keep a round from its turn
            self._judged_mix, self._judged_at, self._judged_rate = mix, time.monotonic(), rate
            self._follow_judgement(record)

    def _follow_judgement(self, record) -> None:
        """Serve what was found; None is what was tested without a prior."""
        self._judged = record
        self._prior.least_share = record.least_share if record else 1.0
        self._excess.expected = (record or self._promise).disagreement

    async def _why_round(self) -> str | None:
        """The reason to run a round now; by itself only where a candidate could pass."""
        why = self._asked_for
        if why is None and (why := self._why_now()):
            return why if await self._write(self._learner.can_test) else None
        return why

    def _why_now(self) -> str | None:
        args, last = self._args.retraining, self._last_round
        since = time.time() - last["at"]
        if not args.rounds or not self._has_caches or since < args.min_interval_s:
            return None
        if self._new_samples >= args.new_samples:
            return f"{self._new_samples} new samples"
        if self._new_samples < args.changed_samples:
            return None
        if self._watch.why_off:
            return f"caches are off: {self._watch.why_off}"
        if last["mix"] is not None and _distance(last["mix"], self._prior.shares) > args.mix_moved:
            return "the class mix has moved"
        hit_rate = self._watch.hit_rate
        if (
            None not in (hit_rate, last["hit_rate"])
            and hit_rate < last["hit_rate"] - args.hits_fell
        ):
            return f"the hit rate fell from {last['hit_rate']:.1%} to {hit_rate:.1%}"
        if since > args.max_interval_s:
            return f"the last round was {since:.0f} s ago"
        return None

    async def _round(self, why: str) -> None:
        self._asked_for, self._new_samples = None, 0
        self._last_round = {
            "at": time.time(),
            "mix": self._prior.shares,
            "hit_rate": self._watch.hit_rate,
        }
        logger.info("round of retraining: %s", why)
        try:
            record = await self._learn(self._learner.round, why, self._pinned)
        except Exception as error:
            logger.exception("a round failed")
            failed = f"it failed: {error!r}"
            record = {"at": time.time(), "why": why, "published": None, "why_not": failed}
        await self._write(self._decided, record)
        if record["published"] is not None:
            self._follow_version()
            self._watch.switch_on()
        logger.info("round decided: %s", record)

    def _decided(self, record: dict) -> None:
        self._log.add_round(json.dumps(record))
        self._log.prune()
        self._learner.retain(self._args.retraining.kept_versions)

    def _follow_version(self) -> None:
        """The learner's version is in service from the next exchange on."""
        version = self._learner.version
        self._version, plan = version.number, version.plan
        self._trained = plan.promise.threshold is not None
        shares = self._prior.shares
        self._prior = ClassPrior(np.array(plan.class_shares))
        self._prior.start(shares)
        self._judged_mix = None
        self._promise = plan.promise
        self._excess = Excess(plan.promise.disagreement)
        self._follow_judgement(None)

    async def _have_learner(self) -> None:
        if self._learner is None:
            self._learner = await self._learn(self._make_learner)
            self._unproven = await self._write(lambda: self._learner.unproven)
            self._follow_version()

    def _make_learner(self):
        import torch

        from cache_models.store.plan import Plan
        from deployments.follow.learner import Learner

        torch.set_num_threads(self._args.retraining.threads)
        plan = Plan.model_validate_json(self._plan_json)
        # Until there are caches nothing is gained by waiting for them.
        pace = Pace(self._args.retraining.share, lambda: self._trained and not self._idle)
        return Learner(plan, self._args.store, self._log, pace.rest)

    async def _keep(self, name: str, value) -> None:
        def keep():
            self._log.set_state(name, value)
            self._log.commit()

        await self._write(keep)

    async def _write(self, function, *args):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writing, partial(function, *args))

    async def _learn(self, function, *args):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._learning, partial(function, *args))


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Total variation."""
    return float(np.abs(a - b).sum() / 2)


def _lowest_priority() -> None:
    """Runs only when nothing else wants the core: Ray gives all its workers a low priority, beside
    which the lowest would still have a third of a core's time."""
    thread = threading.get_native_id()
    try:
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # not on Linux, or not allowed
        os.setpriority(os.PRIO_PROCESS, thread, 19)
