"""Sampled requests are run on after everybody else, and what they show reaches the trainer."""

import asyncio

import numpy as np
import pytest

from cache_models.cascade import Control as Now
from cache_models.cascade import Trace
from deployments.config import AppArgs
from deployments.follow import sampler as module
from deployments.follow.sampler import Sampler
from deployments.graph.speculation import Busy
from deployments.transport.messages import Control, Prior
from tests.places import BATCH, FakeLookup, FakePlace, cascade_for


class Remote:
    def __init__(self, function):
        self.remote = function


class FakeTrainer:
    def __init__(self):
        self.control = Control("serve", True, 1.0, 7)
        self.observations, self.answered = [], 0
        self.exchange = Remote(self._exchange)

    async def _exchange(self, observations, answered):
        self.observations += observations
        self.answered += answered
        return self.control


@pytest.fixture
def trainer(monkeypatch):
    trainer = FakeTrainer()
    monkeypatch.setattr(module.serve, "get_deployment_actor", lambda name: trainer)
    monkeypatch.setattr(module, "EXCHANGE_S", 0.01)
    return trainer


def serve_one(use_caches=True, names=("early", "late"), inclusion=0.5, lookups=None, **more):
    """Answer BATCH, sampled, and wait for the trainer to hear of it."""
    lookups = lookups or [FakeLookup(1), FakeLookup(6)]
    place = FakePlace(names, lookups)
    cascade, partitions = cascade_for(names, place), place.partitions

    async def run():
        sampler = Sampler(AppArgs.model_validate(more), cascade, Busy(), lookups)
        trace = Trace(False)
        with sampler.waiting():
            answers = await cascade.answer(BATCH, False, use_caches, None, trace)
            sampler.add(trace, answers, use_caches, inclusion)
            await asyncio.sleep(0.05)
            before = sum(p.rows for p in partitions)
        await asyncio.sleep(0.1)
        return before, sum(p.rows for p in partitions), sampler

    return asyncio.run(run())


@pytest.mark.parametrize("use_caches", [True, False])
@pytest.mark.parametrize("names", [("early", "late"), ("input", "late")])
def test_the_trainer_hears_what_caches_and_base_dnn_said(trainer, names, use_caches):
    serve_one(use_caches, names)
    known = 0.5 if use_caches else 1.0
    assert [tuple(o[:6]) for o in trainer.observations] == [
        (names[0], 0, 1, 7, 0.5, known),
        ("late", 0, 1, 7, 0.5, known),
        ("base", 1, 1, 7, 0.5, 1.0),
    ]
    assert trainer.answered == 3
    for row, observation in enumerate(trainer.observations):
        assert [part.tolist() for part in observation.asked] == [BATCH[row].tolist()] * 2
        assert observation.probabilities.tolist() == [0, 1]


def test_misses_are_told_of_though_nobody_sampled_them(trainer):
    serve_one(inclusion=0.0)
    assert [tuple(o[:6]) for o in trainer.observations] == [("base", 1, 1, 7, 0.0, 1.0)]


def test_before_caches_have_been_trained_every_answer_is_a_sample_at_once():
    lookups = [FakeLookup(1), FakeLookup(6)]
    names = ("early", "late")
    cascade = cascade_for(names, FakePlace(names, lookups))

    async def run():
        sampler = Sampler(AppArgs(), cascade, Busy(), lookups)
        sampler._control = Control("serve", False, 1.0, 7, judge=False)
        trace = Trace(False)
        answers = await cascade.answer(BATCH, False, False, None, trace)
        sampler.add(trace, answers, False, sampler.choose())
        return sampler._observations

    assert [(o.inclusion, len(o.asked)) for o in asyncio.run(run())] == [(1.0, 2)] * 3
    assert [lookup.calls for lookup in lookups] == [0, 0]


def test_a_version_is_served_once_every_lookup_has_it(trainer):
    trainer.control = Control("serve", True, 1.0, 8, Prior(np.zeros(2), 0.9))
    willing, lost = FakeLookup(1), FakeLookup(6, fail=True)
    sampler = serve_one(lookups=[willing, lost])[2]
    assert sampler._cascade.control == Now(7)
    lost.fail = False
    sampler = serve_one(lookups=[willing, lost])[2]
    assert sampler._cascade.control[:2] == (8, True) and sampler._cascade.control.threshold == 0.9


def test_a_plan_without_caches_is_judged_too(trainer):
    serve_one(use_caches=False, names=())
    assert [tuple(o[:6]) for o in trainer.observations] == [("base", 1, 1, 7, 0.5, 1.0)] * 3


def test_nothing_is_run_on_while_a_client_waits(trainer):
    before, after, _ = serve_one()
    assert before == 3 + 2 + 1
    assert after == before + 3 + 3  # all three rows, from the first hit's cut point on


def test_a_trainer_that_has_just_started_changes_no_version(trainer):
    trainer.control = Control("serve", True, 1.0, None)
    sampler = serve_one(lookups=[FakeLookup(1, fail=True), FakeLookup(6, fail=True)])[2]
    assert sampler._cascade.control == Now(7)


def test_the_trainer_switches_caches_off(trainer):
    trainer.control = Control("serve", False, 1.0, 7)
    assert not serve_one()[2]._cascade.control.on


def test_caches_go_off_when_the_trainer_is_lost(monkeypatch):
    def gone(name):
        raise ValueError("no such actor")

    monkeypatch.setattr(module.serve, "get_deployment_actor", gone)
    monkeypatch.setattr(module, "EXCHANGE_S", 0.01)
    assert not serve_one(guard={"trainer_lost_s": 0.02})[2]._cascade.control.on


def test_requests_are_sampled_at_the_rate_that_is_wanted():
    cascade = cascade_for((), FakePlace((), []))

    async def run():
        sampler = Sampler(AppArgs.model_validate({"sampling": {"rate": 0.2}}), cascade, Busy(), [])
        chosen = [sampler.choose() for _ in range(10_000)]
        for _ in range(AppArgs().sampling.max_backlog):
            sampler.add(Trace(False), Answers([]), True, 0.2)
        return chosen, [sampler.choose() for _ in range(10_000)]

    class Answers:
        def __init__(self, exits):
            self.exits = exits

    chosen, under_load = asyncio.run(run())
    assert set(chosen) == {0.0, 0.2} and 1800 < np.count_nonzero(chosen) < 2200
    assert set(under_load) == {0.0, 0.01} and 50 < np.count_nonzero(under_load) < 150


def test_the_share_of_samples_sinks_while_others_have_to_wait_and_grows_again_when_idle(trainer):
    names, lookups = ("early", "late"), [FakeLookup(10), FakeLookup(10)]
    cascade = cascade_for(names, FakePlace(names, lookups))
    trainer.control = Control("serve", True, 0.4, 7)

    def share(sampler):
        return max(sampler.choose() for _ in range(100))

    async def run():
        args = {"sampling": {"rate": 0.4, "min_rate": 0.1, "max_wait_s": 0.02}}
        sampler = Sampler(AppArgs.model_validate(args), cascade, Busy(), lookups)
        shares = [share(sampler)]
        for waits in (True, False):
            for _ in range(12):
                trace = Trace(False)
                answers = await cascade.answer(BATCH, False, True, None, trace)
                sampler.add(trace, answers, True, 1.0)
            if waits:
                with sampler.waiting():
                    await asyncio.sleep(0.4)
                    shares.append(share(sampler))
            else:
                await asyncio.sleep(0.6)
                shares.append(share(sampler))
        return shares

    assert asyncio.run(run()) == [0.4, 0.1, 0.4]
