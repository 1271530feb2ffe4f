"""Routers do as the trainer says, all lookups first, and are careful when it says nothing."""

import asyncio

import pytest

from cache_models.cascade import Control
from deployments.config import AppArgs
from deployments.follow import control_client as module
from deployments.follow.control_client import ControlClient
from deployments.follow.messages import Instructions
from tests.places import FakeLookup, FakePlace, cascade_for

CAREFUL = Control(7, True, 0.9)


class FakeTrainer:
    """Says what it is told to; lost while `control` is None."""

    def __init__(self):
        self.control: Control | None = Control(7)
        self.observations, self.answered = [], 0
        self.forgotten = 0
        self.exchange = self

    async def remote(self, report):
        self.observations += report.observations
        self.answered += report.answered
        return Instructions("serve", 0.5, True, self.control, self.forgotten)

    def find(self):
        if self.control is None:
            raise ValueError("no such actor")
        return self


class Router:
    """As much of one as the trainer has to do with.

    Attributes:
        now: of its clock, in seconds.
    """

    def __init__(self, lookups=(), **args):
        self.now, self.trainer = 0.0, FakeTrainer()
        self.cascade, self.place = cascade_for((), FakePlace((), [])), FakePlace((), lookups)
        self.client = ControlClient(
            AppArgs.model_validate(args),
            self.cascade,
            self.place,
            self.trainer.find,
            lambda: self.now,
        )

    def told(self, control: Control | None) -> Control:
        """What requests are answered with after an exchange in which the trainer said `control`."""
        self.trainer.control = control
        asyncio.run(self._exchange())
        return self.cascade.control

    async def _exchange(self):
        """And whatever it begins."""
        await self.client.exchange()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


def test_the_trainer_hears_everything_once():
    router = Router()
    router.client.observations += ["one", "another"]
    router.client.answered += 5
    for _ in range(2):
        router.told(Control(7))
    assert (router.trainer.observations, router.trainer.answered) == (["one", "another"], 5)


def test_requests_are_answered_and_sampled_as_the_trainer_says():
    router = Router()
    assert router.told(CAREFUL) is CAREFUL
    assert not router.told(Control(7, on=False)).on
    assert router.client.instructions.sample_rate == 0.5


def test_a_version_is_served_once_every_lookup_has_it():
    willing, lost = FakeLookup(1), FakeLookup(6, fail=True)
    router = Router([willing, lost])
    assert router.told(CAREFUL._replace(version=8)) == Control(7)
    assert router.told(Control(8, on=False)) == Control(7, on=False)  # an alarm need not wait
    lost.fail = False
    assert router.told(CAREFUL._replace(version=8)) == CAREFUL._replace(version=8)
    assert willing.prepared == lost.prepared == 8


def test_an_alarm_does_not_wait_for_a_version_that_is_being_prepared():
    async def run():
        router, loading = Router([lookup := FakeLookup(1)]), asyncio.Event()
        lookup.prepare = lambda version: loading.wait()
        said = []
        for on in (True, False):
            router.trainer.control = Control(8, on)
            await router.client.exchange()
            said.append(router.cascade.control)
        loading.set()
        while router.cascade.control.version != 8:
            await asyncio.sleep(0)
        return said, router.cascade.control

    said, then = asyncio.run(run())
    assert said == [Control(7), Control(7, on=False)]
    assert then == Control(8, on=False)


@pytest.mark.parametrize("control", [CAREFUL, None])
def test_a_router_is_ready_when_the_trainer_has_been_asked(control):
    async def run():
        router = Router()
        asked = asyncio.create_task(router.client.asked())
        await asyncio.sleep(0)
        assert not asked.done()
        router.trainer.control = control
        await router.client.exchange()
        await asyncio.wait_for(asked, 10)

    asyncio.run(run())


def test_the_version_in_service_needs_no_lookup_s_consent():
    router = Router([FakeLookup(1, fail=True), FakeLookup(6, fail=True)])
    assert router.told(CAREFUL) is CAREFUL


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [(5, CAREFUL), (60, CAREFUL), (61, CAREFUL._replace(on=False))],
)
def test_without_the_trainer_the_threshold_stays_and_later_caches_go_off(silent_s, expected):
    router = Router(guard={"trainer_lost_s": 60})
    router.told(CAREFUL)
    router.now += silent_s
    assert router.told(None) == expected
    assert router.told(CAREFUL) == CAREFUL  # it is back


def test_exchanges_go_on_whatever_happens(monkeypatch):
    monkeypatch.setattr(module, "EXCHANGE_S", 0)
    router = Router()
    router.trainer.control = None

    async def run():
        router.client.start()
        router.client.answered = 3
        async with asyncio.timeout(10):
            while router.client.answered:  # told to nobody
                await asyncio.sleep(0)
            router.trainer.control = CAREFUL
            while router.cascade.control is not CAREFUL:
                await asyncio.sleep(0)

    asyncio.run(run())


def test_a_router_whose_exchange_has_ended_is_not_healthy(monkeypatch):
    async def run():
        router = Router()
        router.client.check_health()  # it has not begun
        monkeypatch.setattr(router.client, "exchange", broken)
        router.client.start()
        with pytest.raises(RuntimeError, match=r"with the trainer has ended: MemoryError"):
            async with asyncio.timeout(10):
                while True:
                    router.client.check_health()
                    await asyncio.sleep(0)

    async def broken():
        raise MemoryError

    asyncio.run(run())


def test_copies_of_lookups_forget_streams_once_operators_have_said_so():
    router = Router()
    router.told(CAREFUL)
    assert router.place.forgot == 0
    router.trainer.forgotten += 1
    router.told(CAREFUL)
    router.told(CAREFUL)
    assert router.place.forgot == 1
