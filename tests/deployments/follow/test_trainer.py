"""The trainer says what routers should do, remembers what operators said, and learns by itself."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import torch

from cache_models.build import cold_start
from cache_models.build.survey import survey
from cache_models.follow import retraining
from cache_models.network.base_dnn import load
from cache_models.network.stages import INPUT
from cache_models.promise import promise
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from deployments.config import AppArgs
from deployments.follow import learner, schedule
from deployments.follow import trainer as module
from deployments.follow.ownership import Ownership
from deployments.follow.trainer import Trainer
from tests.deployments.follow.observed import observation, report
from tests.tiny import images

LIMITS = Limits(max_disagreement=0.05, max_class_disagreement=0.1)
"""Roles are drawn at random: with the usual limit by class, one mistake of the rarest class at the
strictest threshold would refuse one candidate in twelve."""


@pytest.fixture(scope="module", autouse=True)
def in_a_hurry():
    """Short ticks, and no other process that comes before all that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TICK_S", 0.02)
        patch.setattr(module, "lowest_priority", None)
        yield


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """A store for a base DNN that seems slow enough to be worth a cache; nobody writes to it."""
    store = Store(tmp_path_factory.mktemp("cold") / "store")
    torch.manual_seed(0)  # few learn as badly as the worst of random beginnings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold_start, "survey", lambda *a: replace(survey(*a), base_ms=100.0))
        cold_start.cold_start(load("tests.tiny:tiny"), store, LIMITS, HopCost(), [INPUT])
    return store


def copied(store, folder):
    shutil.copytree(store.folder, folder / "copy")
    return Store(folder / "copy")


@pytest.fixture(autouse=True, scope="module")
def owner():
    """A trainer that has crashed holds no store any more; here it does, for it was in this
    process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ownership, "mine", lambda self: True)
        yield


@pytest.fixture
def store(cold, tmp_path):
    return copied(cold, tmp_path)


@pytest.fixture(scope="module")
def after_cold_start(cold, tmp_path_factory):
    """A store whose caches came from the traffic, and what routers were told before and after."""
    store = copied(cold, tmp_path_factory.mktemp("learned"))
    trainer = trainer_for(store)

    async def run():
        first = await trainer.exchange(report())
        await trainer.exchange(report(observations(2500), 2500))
        return first, await told(trainer, lambda now: now.control.version == 2)

    return store, *asyncio.run(run())


@pytest.fixture
def learned(after_cold_start, tmp_path):
    """A copy of that store, its second version in service."""
    return copied(after_cold_start[0], tmp_path)


def trainer_for(store, **more):
    args = {
        "model": "tests.tiny:tiny",
        "store": str(store.folder),
        "retraining": {
            "new_samples": 800,
            "changed_samples": 400,
            "min_interval_s": 0,
            "share": 1,
        },
    }
    args = AppArgs.model_validate(args | more)
    return Trainer(args.model_dump_json(), store.current().plan.model_dump_json())


def observations(count, seed=0, version=1):
    """What a router tells of requests while caches are off."""
    base = load("tests.tiny:tiny")
    pictures = images(count, seed)
    with torch.inference_mode():
        probabilities = base.module(base.inputs(pictures)).softmax(1).numpy()
    for picture, p in zip(pictures, probabilities, strict=True):
        label = int(p.argmax())
        yield observation(label, label, version, asked=(picture,), probabilities=p)


async def until(ask: Callable[[], Awaitable], condition: Callable, seconds=120):
    """The first answer for which `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition(answer := await ask()):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.05)
    return answer


async def told(trainer, condition):
    """The instructions of which `condition` holds, asked for as by an idle router."""
    try:
        return await until(lambda: trainer.exchange(report()), condition)
    except AssertionError as error:
        raise AssertionError(await trainer.rounds()) from error


async def found(trainer, condition):
    """The status of which `condition` holds."""
    return await until(trainer.status, condition)


def test_after_a_cold_start_caches_come_from_the_traffic(after_cold_start):
    store, first, later = after_cold_start
    assert (first.mode, first.control.on, first.sample_rate) == ("serve", False, 1.0)
    assert later.control.on and later.sample_rate <= 0.1
    assert store.current().number == 2
    assert store.current().plan.promise.threshold is not None

    again = trainer_for(store)  # as after a crash
    record = asyncio.run(again.rounds())[-1]
    assert record["published"] == 2 and record["after"]["hit_rate"] > 0
    assert json.dumps(record)


def test_while_nobody_asks_the_base_dnn_is_asked_about_altered_copies(learned):
    async def run():
        trainer = trainer_for(learned)
        await trainer.exchange(report(observations(300), 300))
        status = await found(trainer, lambda s: s["retraining"]["altered_copies"] >= 60)
        assert (
            status["sampling"]["share_of_processors"] == 0
        )  # which is for what is beside requests
        await trainer.delete_samples()
        return await trainer.status()

    assert asyncio.run(run())["retraining"]["altered_copies"] == 0


def test_one_that_has_just_started_tells_the_version_in_service(learned):
    deployed = learned.open(1).plan.model_dump_json()  # as Serve remembers it

    async def run():
        args = AppArgs(model="tests.tiny:tiny", store=str(learned.folder))
        return await Trainer(args.model_dump_json(), deployed).exchange(report())

    now = asyncio.run(run())
    assert now.control.version == 2 and now.control.on


def test_before_there_is_traffic_nothing_is_computed(learned, monkeypatch):
    monkeypatch.setitem(sys.modules, "deployments.follow.learner", None)  # importing it would fail

    async def run():
        trainer = trainer_for(learned)
        for _ in range(10):
            await trainer.exchange(report())
            await asyncio.sleep(2 * module.TICK_S)
        return await trainer.status(), await trainer.versions()

    status, versions = asyncio.run(run())
    assert status["cache_version"] == 2 and [v["cache_version"] for v in versions] == [1, 2]


def test_what_operators_said_survives_a_crash(store):
    async def run():
        await trainer_for(store).set_mode("shadow")
        await trainer_for(store).pin(True)
        again = trainer_for(store)
        return await again.exchange(report()), await again.status()

    now, status = asyncio.run(run())
    assert now.mode == "shadow" and not now.control.on
    assert status["mode"] == "shadow" and status["pinned"]


def test_on_a_full_disk_samples_wait_and_one_line_says_so(learned, caplog):
    async def run():
        trainer = trainer_for(learned)
        (pages,) = trainer._log._db.execute("PRAGMA page_count").fetchone()
        add, full = trainer._log.add, True

        def on_a_full_disk(samples):
            limit = pages if full else 100 * pages
            trainer._log._db.execute(f"PRAGMA max_page_count = {limit}")
            add(samples)

        trainer._log.add = on_a_full_disk
        before = (await trainer.status())["retraining"]["stored_samples"]
        await trainer.exchange(report(observations(1_500)))
        for _ in range(10):
            said = await trainer.exchange(report())
            await asyncio.sleep(2 * module.TICK_S)
        full = False
        status = await found(trainer, lambda now: now["retraining"]["stored_samples"] > before)
        return said, status

    said, status = asyncio.run(run())
    assert said.control.on and status["retraining"]["queued"] == 0
    (line,) = (str(r.exc_info[1]) for r in caplog.records if r.exc_info)
    assert "traffic.sqlite" in line and "Free space there" in line


def test_switched_off_by_an_operator_is_not_for_want_of_samples(learned):
    async def run():
        trainer = trainer_for(learned)
        await trainer.set_mode("off")
        off = await trainer.exchange(report(answered=20_000))
        await trainer.set_mode("serve")
        return off, await trainer.exchange(report(answered=10))

    off, again = asyncio.run(run())
    assert (off.mode, off.control.on) == ("off", False)
    assert (again.mode, again.control.on) == ("serve", True)


def test_a_pinned_version_stays(store):
    async def run():
        trainer = trainer_for(store)
        await trainer.pin(True)
        await trainer.exchange(report(observations(2500), 2500))
        return await until(trainer.rounds, bool)

    assert "pinned" in asyncio.run(run())[0]["why_not"]
    assert store.versions() == [1]


def test_going_back_is_tested_first_and_else_said(learned):
    async def run():
        trainer = trainer_for(learned)
        back = await trainer.roll_back(1)
        now = await trainer.exchange(report())
        forth = await trainer.roll_back(2)
        with pytest.raises(ValueError, match="version 9"):
            await trainer.roll_back(9)
        return back, now, forth, await trainer.versions()

    back, now, forth, versions = asyncio.run(run())
    assert back == {"cache_version": 1, "proven": False}
    assert now.control.version == 1 and not now.control.on
    assert forth == {"cache_version": 2, "proven": True}
    assert [(v["cache_version"], v["serving"]) for v in versions] == [(1, False), (2, True)]
    assert learned.current().number == 2


def test_every_test_takes_its_own_share_of_the_error_probability(learned, monkeypatch):
    calls = []

    def crash_in_the_test(*said, **how):
        calls.append(said)
        if len(calls) == 2:  # the first judges on other samples whether a test is worth it
            raise MemoryError
        return promise.calibrate(*said, **how)

    async def run():
        trainer = trainer_for(learned)
        await trainer.roll_back(1)  # untrained, so there is nothing to test
        monkeypatch.setattr(retraining, "calibrate", crash_in_the_test)
        await trainer.retrain()
        await trainer.exchange(report())
        rounds = await until(trainer.rounds, lambda rounds: len(rounds) == 2)
        await trainer.roll_back(2)
        return rounds, (await trainer.status())["retraining"]

    rounds, status = asyncio.run(run())
    assert rounds[0]["tested"] and "MemoryError" in rounds[1]["why_not"]
    assert status["tests"] == 3  # of the round that published, the one that failed, and going back
    assert status["test_samples"] > status["test_samples_needed"] > 100


def test_the_guard_switches_a_version_off_and_that_survives_a_crash(learned):
    async def run():
        trainer = trainer_for(learned)
        wrong = observation(1, said=0, version=2, weight=10.0)
        now = await trainer.exchange(report([wrong] * 30, 300))
        # Once it is written down: two trainers are never at work on one log.
        await until(lambda: asyncio.sleep(0.05, trainer._state.watch), lambda w: w and w["alarms"])
        await trainer.set_mode("serve")
        return now, await until(
            lambda: trainer_for(learned).exchange(report()), lambda again: not again.control.on
        )

    now, again = asyncio.run(run())
    assert not now.control.on and now.sample_rate > 0.1
    assert not again.control.on and again.sample_rate > 0.1


def test_after_an_alarm_rounds_test_on_what_came_since(learned):
    wrong = observation(1, said=0, version=2, weight=10.0)

    async def run():
        trainer = trainer_for(learned, retraining={"rounds": False, "min_interval_s": 0})
        await trainer.exchange(report(observations(300, seed=5, version=2), 300))
        before = await found(trainer, lambda now: now["retraining"].get("test_samples", 0) > 500)
        await trainer.exchange(report([wrong] * 30, 300))
        after = await found(trainer, lambda now: now["retraining"]["test_samples"] < 100)
        await trainer.exchange(report(observations(300, seed=6, version=2), 300))
        again = await found(trainer, lambda now: now["retraining"]["test_samples"] > 100)
        return (now["retraining"]["test_samples"] for now in (before, after, again))

    before, after, again = asyncio.run(run())
    assert after == 0 and 100 < again < 200 < before


def test_an_alarm_in_a_round_keeps_its_candidate_from_service(learned, monkeypatch):
    """It has passed on samples of the traffic before."""
    wrong, retrain = observation(1, said=0, version=2, weight=10.0), learner.retrain

    async def run():
        loop = asyncio.get_running_loop()
        trainer = trainer_for(learned, retraining={"rounds": False})

        def interrupted(*args, **more):
            found = retrain(*args, **more)
            alarm = trainer.exchange(report([wrong] * 30, 300))
            asyncio.run_coroutine_threadsafe(alarm, loop).result()
            return replace(found, why_not=None)

        monkeypatch.setattr(learner, "retrain", interrupted)
        await trainer.exchange(report(observations(300, seed=5, version=2), 300))
        await trainer.retrain()
        rounds = await until(trainer.rounds, lambda rounds: len(rounds) > 1)
        return max(rounds, key=lambda record: record["at"])

    record = asyncio.run(run())
    assert record["published"] is None and "alarm" in record["why_not"]
    assert learned.current().number == 2


def test_samples_are_deleted_on_demand(store):
    async def run():
        trainer = trainer_for(store, retraining={"rounds": False})
        await trainer.exchange(report(observations(50), 50))
        await found(trainer, lambda status: status["retraining"]["stored_samples"] == 50)
        await trainer.delete_samples()
        return (await trainer.status())["retraining"]["stored_samples"]

    assert asyncio.run(run()) == 0


def test_samples_expire_by_the_clock_also_without_rounds(store, monkeypatch):
    monkeypatch.setattr(schedule, "TIDY_S", 0.05)

    async def run():
        trainer = trainer_for(store, retraining={"rounds": False, "expire_s": 0.1})
        await trainer.exchange(report(observations(50), 50))
        await found(trainer, lambda status: status["retraining"]["new_samples"] == 50)
        await found(trainer, lambda status: status["retraining"]["stored_samples"] == 0)

    asyncio.run(run())
