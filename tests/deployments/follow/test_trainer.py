"""The trainer says what routers should do, remembers what operators said, and learns by itself."""

import asyncio
import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from cache_models.build import cold_start
from cache_models.build.survey import survey
from cache_models.follow import retraining
from cache_models.network.base_dnn import load
from cache_models.network.preprocessing import as_tensor
from cache_models.network.stages import INPUT
from cache_models.promise import promise
from cache_models.promise.promise import PATH, Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from deployments.config import AppArgs
from deployments.follow import trainer as module
from deployments.follow.trainer import Trainer
from deployments.transport.messages import Observation, Prior
from tests.tiny import images

LIMITS = Limits(max_disagreement=0.05, max_class_disagreement=0.1)
"""Roles are drawn at random: with the usual limit by class, one mistake of the rarest class at the
strictest threshold would refuse one candidate in twelve."""


@pytest.fixture(scope="module", autouse=True)
def short_ticks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TICK_S", 0.05)
        yield


def cold_store(folder):
    """For a base DNN that seems slow enough to be worth a cache."""
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold_start, "survey", lambda *a: replace(survey(*a), base_ms=100.0))
        cold_start.cold_start(load("tests.tiny:tiny"), store, LIMITS, HopCost(), [INPUT])
    return store


@pytest.fixture
def store(tmp_path):
    return cold_store(tmp_path)


@pytest.fixture(scope="module")
def after_cold_start(tmp_path_factory):
    """A store whose caches came from the traffic, and what routers were told before and after."""
    store = cold_store(tmp_path_factory.mktemp("learned"))
    trainer = trainer_for(store)

    async def run():
        first = await trainer.exchange([], 0)
        await trainer.exchange(list(observations(2500)), 2500)
        return first, await until(lambda control: control.version == 2, trainer)

    return store, *asyncio.run(run())


@pytest.fixture
def learned(after_cold_start, tmp_path):
    """A copy of that store, its second version in service."""
    shutil.copytree(after_cold_start[0].folder, tmp_path / "learned")
    return Store(tmp_path / "learned")


def trainer_for(store, **more):
    args = {
        "model": "tests.tiny:tiny",
        "store": str(store.folder),
        "retraining": {"new_samples": 800, "changed_samples": 400, "min_interval_s": 0},
    }
    args = AppArgs.model_validate(args | more)
    return Trainer(args.model_dump_json(), store.current().plan.model_dump_json())


def observations(count, seed=0, version=1):
    """What a router tells of requests while caches are off."""
    base = load("tests.tiny:tiny")
    pictures = images(count, seed)
    probabilities = base.description.probabilities(base.module(base.inputs(as_tensor(pictures))))
    for picture, p in zip(pictures, probabilities.detach().numpy(), strict=True):
        label = int(p.argmax())
        yield Observation("base", label, label, version, 1.0, 1.0, (picture,), False, p)


async def until(condition, trainer, seconds=180):
    """The control when `condition` holds of it."""
    deadline = time.monotonic() + seconds
    while True:
        control = await trainer.exchange([], 0)
        if condition(control):
            return control
        assert time.monotonic() < deadline, (control, await trainer.rounds())
        await asyncio.sleep(0.05)


def test_after_a_cold_start_caches_come_from_the_traffic(after_cold_start):
    store, first, control = after_cold_start
    assert (first.mode, first.caches_on, first.sample_rate) == ("serve", False, 1.0)
    assert control.caches_on and control.sample_rate == 0.1
    assert store.current().number == 2
    assert store.current().plan.promise.threshold is not None

    again = trainer_for(store)  # as after a crash
    record = asyncio.run(again.rounds())[-1]
    assert record["published"] == 2 and record["after"]["hit_rate"] > 0
    assert json.dumps(record)


def test_what_operators_said_survives_a_crash(store):
    async def run():
        await trainer_for(store).set_mode("shadow")
        await trainer_for(store).pin(True)
        again = trainer_for(store)
        return await again.exchange([], 0), await again.status()

    control, status = asyncio.run(run())
    assert control.mode == "shadow" and not control.caches_on
    assert status["mode"] == "shadow" and status["pinned"]


def test_switched_off_by_an_operator_is_not_for_want_of_samples(learned):
    async def run():
        trainer = trainer_for(learned)
        await until(lambda control: control.version == 2, trainer)
        await trainer.set_mode("off")
        off = await trainer.exchange([], 20_000)
        await trainer.set_mode("serve")
        return off, await trainer.exchange([], 10)

    off, again = asyncio.run(run())
    assert (off.mode, off.caches_on) == ("off", False)
    assert (again.mode, again.caches_on) == ("serve", True)


def test_a_pinned_version_stays(store):
    async def run():
        trainer = trainer_for(store)
        await trainer.pin(True)
        await trainer.exchange(list(observations(2500)), 2500)
        while not (rounds := await trainer.rounds()):
            await asyncio.sleep(0.05)
        return rounds

    assert "pinned" in asyncio.run(run())[0]["why_not"]
    assert store.versions() == [1]


def test_going_back_is_tested_first_and_else_said(learned):
    async def run():
        trainer = trainer_for(learned)
        back = await trainer.roll_back(1)
        control = await trainer.exchange([], 0)
        forth = await trainer.roll_back(2)
        with pytest.raises(ValueError, match="version 9"):
            await trainer.roll_back(9)
        return back, control, forth, await trainer.versions()

    back, control, forth, versions = asyncio.run(run())
    assert back == {"cache_version": 1, "proven": False}
    assert control.version == 1 and not control.caches_on
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
        await until(lambda control: calls, trainer)
        while len(rounds := await trainer.rounds()) < 2:
            await asyncio.sleep(0.05)
        await trainer.roll_back(2)
        return rounds, (await trainer.status())["retraining"]

    rounds, told = asyncio.run(run())
    assert rounds[0]["tested"] and "MemoryError" in rounds[1]["why_not"]
    assert told["tests"] == 3  # of the round that published, the one that failed, and going back
    assert told["test_samples"] > told["test_samples_needed"] > 100


def test_the_guard_switches_a_version_off_and_that_survives_a_crash(learned):
    async def run():
        trainer = trainer_for(learned)
        await until(lambda control: control.version == 2, trainer)
        wrong = Observation("input", 0, 1, 2, 0.1, 0.1, None, False, None)
        control = await trainer.exchange([wrong] * 30, 300)
        await asyncio.sleep(0.3)
        return control, await trainer_for(learned).exchange([], 0)

    control, again = asyncio.run(run())
    assert not control.caches_on and control.sample_rate == 1.0
    assert not again.caches_on and again.sample_rate == 1.0


def test_samples_are_deleted_on_demand(store):
    async def run():
        trainer = trainer_for(store, retraining={"rounds": False})
        await trainer.exchange(list(observations(50)), 50)
        while trainer._log.count(build=False) < 50:
            await asyncio.sleep(0.05)
        await trainer.delete_samples()
        return trainer._log.count(build=False)

    assert asyncio.run(run()) == 0


def test_a_mix_of_few_classes_sharpens_the_prior_while_samples_say_whether_it_holds(learned):
    async def run():
        trainer = trainer_for(learned)
        await until(lambda control: control.version == 2, trainer)
        sampled = Observation("base", 1, 1, 2, 0.1, 1.0, None, False, None)
        missed = sampled._replace(inclusion=0.0)
        for _ in range(60):
            await trainer.exchange([sampled] + [missed] * 9, 10)
        sharp = await until(lambda control: control.prior.log_ratio is not None, trainer)
        blunt = await trainer.exchange([missed] * 50, 5000)  # overload: nothing is run on
        await asyncio.sleep(0.5)
        return sharp, blunt, await trainer.exchange([], 0)

    sharp, *blunt = asyncio.run(run())
    ratio = sharp.prior.log_ratio
    assert ratio.argmax() == 1 and np.delete(ratio, 1).max() < 0
    assert sharp.prior.threshold in PATH
    assert [control.prior for control in blunt] == [Prior(), Prior()]


def test_more_mistakes_than_expected_in_service_make_caches_more_careful(learned):
    async def run():
        trainer = trainer_for(learned, retraining={"rounds": False})
        await until(lambda control: control.version == 2, trainer)
        sampled = Observation("base", 1, 1, 2, 1.0, 1.0, None, False, None)
        wrong = sampled._replace(exit="input", class_id=0)
        expected = trainer._promise.disagreement
        found = []
        for mistakes in (0, 80):
            for _ in range(25):
                await trainer.exchange([sampled] * 20, 20)
            await trainer.exchange([wrong] * mistakes, mistakes)
            trainer._watch.switch_on()  # whatever the guard has to say
            trainer._judged_at = 0.0
            before = trainer._judged
            await until(lambda _, b=before: trainer._judged not in (None, b), trainer)
            found.append(trainer._judged)
        return expected, found

    expected, (calm, careful) = asyncio.run(run())
    assert 0 < expected < LIMITS.max_disagreement
    assert careful.disagreement < 0.7 * calm.disagreement
