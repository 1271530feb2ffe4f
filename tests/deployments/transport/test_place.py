"""Who asks a stage acts on the kind of error, whatever way the question went."""

import asyncio
import time

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from cache_models.network.stages import Answer, LookUp, Run
from deployments.transport import breaker, replicas
from deployments.transport.errors import Failed, Gone, Lost, PlaceError, Refused
from deployments.transport.place import Deployed, StageReplicas
from tests.plans import plan_for

BATCH = np.zeros((1, 3))
ANSWER = Answer(np.zeros(1, int), np.ones((1, 2)))
RUN, LOOK_UP = Run(BATCH), LookUp(BATCH, 7)
LOOKUP, PARTITION = plan_for(["input"]).stages()


class Way:
    """Does in turn what it is told, and at the end answers."""

    connected, waiting = 1, 0

    def __init__(self, *does):
        self.does, self.asked = list(does), []

    async def ask(self, message, until=None):
        self.asked.append(until)
        outcome = self.does.pop(0) if self.does else ANSWER
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
        return ANSWER

    def options(self, **_):
        return self

    def remote(self, message, timeout_s):
        return Response(Way.ask(self, message, timeout_s))


class Handle(Way):
    """As Serve's."""

    deployment_id = "d"


class Response:
    cancelled = False

    def __init__(self, reply):
        self._reply = reply

    def __await__(self):
        return self._reply.__await__()

    def cancel(self):
        Response.cancelled = True


@pytest.fixture(autouse=True)
def nobody_runs(monkeypatch):
    monkeypatch.setattr(replicas, "begin", lambda followers: followers)


def place(client, handle, stage=PARTITION):
    return Deployed({stage: StageReplicas(handle, 0, client)})


def ask(client, handle, stage=PARTITION, message=RUN, timeout_s=None):
    """What came of it, and how often each way was tried."""
    deployed = place(client, handle, stage)
    try:
        came = asyncio.run(deployed.ask(stage, message, timeout_s))
    except Exception as error:
        came = error
    return came, len(client.asked) if client else 0, len(handle.asked)


def test_where_a_replica_is_connected_the_handle_is_not_asked():
    assert ask(Way(), Handle()) == (ANSWER, 1, 0)


def test_where_none_is_the_handle_is_asked():
    client = Way()
    client.connected = 0
    assert ask(client, Handle()) == (ANSWER, 0, 1)
    assert ask(None, Handle()) == (ANSWER, 0, 1)


def test_what_is_lost_is_asked_once_more():
    assert ask(Way(Lost("gone")), Handle()) == (ANSWER, 1, 1)
    assert ask(None, Handle(ActorDiedError())) == (ANSWER, 0, 2)
    assert ask(None, Handle(ActorUnavailableError("gone", None))) == (ANSWER, 0, 2)
    came, *tries = ask(None, Handle(ActorDiedError(), ActorDiedError(), ActorDiedError()))
    assert isinstance(came, Lost) and tries == [0, 2]


def test_about_what_is_gone_nobody_else_is_asked():
    came, *tries = ask(Way(Gone("too late")), Handle())
    assert isinstance(came, Gone) and tries == [1, 0]


def test_what_nobody_waits_for_is_asked_once():
    came, *tries = ask(Way(Lost("gone")), Handle(), message=Run(BATCH, background=True))
    assert isinstance(came, Lost) and tries == [1, 0]


def test_what_was_lost_together_is_asked_one_after_another():
    """Were the one that the replica died of asked beside others, they would be lost again."""
    now = most = 0

    class Counting(Handle):
        async def ask(self, message, until=None):
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return ANSWER

        def remote(self, message, timeout_s):
            return Response(self.ask(message, timeout_s))

    async def run():
        deployed = place(Way(*[Lost("gone")] * 5), Counting())
        return await asyncio.gather(*(deployed.ask(PARTITION, RUN) for _ in range(5)))

    assert asyncio.run(run()) == [ANSWER] * 5
    assert most == 1


def test_what_failed_is_computed_once():
    broken = RayTaskError("ask", "Traceback: broken", ValueError("broken"))
    for error in (ValueError("broken"), broken, broken.as_instanceof_cause(), Failed("broken")):
        came, *tries = ask(None, Handle(error))
        assert isinstance(came, Failed) and "broken" in str(came) and tries == [0, 1]
    came, *tries = ask(Way(Failed("broken")), Handle())
    assert isinstance(came, Failed) and tries == [1, 0]


def test_what_is_refused_is_not_tried_by_another_way():
    came, *tries = ask(Way(Refused("full")), Handle())
    assert isinstance(came, Refused) and tries == [1, 0]
    came, *tries = ask(None, Handle(BackPressureError(3, 2)))
    assert isinstance(came, Refused) and tries == [0, 1]


class Here(Way):
    """A copy in this process."""

    prepared = ()

    async def prepare(self, version):
        self.prepared += (version,)


def ask_here(here):
    """What came of it, and how often each way was tried."""
    client, handle = Way(), Handle()
    deployed = Deployed({LOOKUP: StageReplicas(handle, 0, client, here)})
    try:
        came = asyncio.run(deployed.ask(LOOKUP, LOOK_UP, 5.0))
    except PlaceError as error:
        came = error
    (told,) = deployed.by_way.values()
    return came, len(here.asked), len(client.asked), deployed.failures[LOOKUP.start], told


def test_a_copy_in_this_process_is_asked_and_what_it_has_no_room_for_goes_to_the_deployment():
    came, *tries, told = ask_here(here := Here())
    assert (came, tries, told["router"], told["lane"]) == (ANSWER, [1, 0, 0], 1, 0)
    assert 0 < here.asked[0] <= 5
    came, *tries, told = ask_here(Here(Refused("full")))
    assert (came, tries, told["router"], told["lane"]) == (ANSWER, [1, 1, 0], 0, 1)


@pytest.mark.parametrize("error", [Failed("broken"), Lost("late")])
def test_what_a_copy_in_this_process_cannot_answer_is_a_failed_lookup(error):
    came, *tries, told = ask_here(Here(error))
    assert (came, tries, told["router"]) == (error, [1, 0, 1], 0)


def test_a_version_is_prepared_when_a_copy_in_this_process_has_it_too():
    class Everywhere(Handle):
        def broadcast(self, *told):
            self.told = told
            return self

        async def results_async(self, timeout_s):
            return []

    handle, here = Everywhere(), Here()
    asyncio.run(Deployed({LOOKUP: StageReplicas(handle, 0, None, here)}).prepare(3))
    assert handle.told == ("prepare", 3) and here.prepared == (3,)


def test_a_deployment_that_is_not_there_is_lost():
    class Id:
        name = "Partition0"

    came, *_ = ask(None, Handle(*[DeploymentUnavailableError(Id())] * 2))
    assert isinstance(came, Lost)


@pytest.mark.parametrize("client", [True, False])
def test_what_is_late_is_lost_and_the_time_left_is_told(client):
    ways = Way(10.0), Handle(10.0)
    Response.cancelled = False
    start = time.monotonic()
    came, *_ = ask(ways[0] if client else None, ways[1], timeout_s=0.05)
    assert isinstance(came, Lost) and time.monotonic() - start < 5
    if client:
        assert ways[0].asked[0] == pytest.approx(start + 0.05, abs=5)
    else:
        assert 0 < ways[1].asked[0] <= 0.05
        assert Response.cancelled


def test_the_second_try_is_within_the_deadline():
    came, *tries = ask(Way(Lost("gone")), Handle(10.0), timeout_s=0.05)
    assert isinstance(came, Lost) and tries == [1, 1]


def test_while_a_lookup_is_left_alone_one_request_at_a_time_tries_it(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(breaker.time, "monotonic", lambda: now[0])
    mine = breaker.Breaker()

    def may_ask():
        try:
            mine.check(LOOKUP)
        except Lost:
            return False
        return True

    for _ in range(breaker.MAX_FAILURES):
        assert may_ask()
        mine.failed(LOOKUP, Lost("late"))
    assert not may_ask()
    now[0] += 1.1 * breaker.TRY_S
    assert [may_ask() for _ in range(5)] == [True] + [False] * 4
    mine.failed(LOOKUP, Lost("late"))
    assert not may_ask()
    now[0] += 1.1 * breaker.TRY_S
    assert may_ask()
    mine.answered(LOOKUP)
    assert all(may_ask() for _ in range(5))


def test_a_lookup_that_keeps_failing_is_left_alone_for_a_while():
    async def run():
        client = Way(*[Failed("broken")] * breaker.MAX_FAILURES)
        deployed = place(client, Handle(), LOOKUP)
        for _ in range(breaker.MAX_FAILURES + 3):
            with pytest.raises((Failed, Lost)):
                await deployed.ask(LOOKUP, LOOK_UP)
        asked = len(client.asked)
        async with asyncio.timeout(10):
            while True:
                try:
                    return asked, await deployed.ask(LOOKUP, LOOK_UP), deployed.failures
                except Lost:
                    await asyncio.sleep(0.02)

    asked, reply, failures = asyncio.run(run())
    assert asked == breaker.MAX_FAILURES and reply == ANSWER
    assert failures == {LOOKUP.start: breaker.MAX_FAILURES}


def test_a_partition_is_asked_again_however_often_it_failed():
    async def run():
        client = Way(*[Failed("broken")] * 10)
        deployed = place(client, Handle())
        for _ in range(10):
            with pytest.raises(Failed):
                await deployed.ask(PARTITION, RUN)
        return await deployed.ask(PARTITION, RUN), deployed.failures

    assert asyncio.run(run()) == (ANSWER, {})


def test_answers_are_counted_by_the_way_they_came():
    async def run():
        deployed = place(Way(Lost("gone")), Handle())
        for _ in range(3):
            await deployed.ask(PARTITION, RUN)
        return deployed.by_way

    (told,) = asyncio.run(run()).values()
    assert told | {"lane": 2, "handle": 1, "connected": 1, "waiting": 0} == told
