"""What nobody waits for stands in front of no request: it has a thread, an engine and a queue of
its own, and the lowest priority."""

import asyncio
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from cache_models.network.stages import Run
from cache_models.store import graphs
from deployments.config import Compute, LaneArgs
from deployments.graph.partition import Partition
from deployments.transport import endpoint
from deployments.transport.endpoint import MAX_IN_BACKGROUND
from deployments.transport.errors import Failed, Lost, Refused
from tests.deaths import end
from tests.tiny import images

PICTURES = images(4, seed=3)


class StandIn:
    """An engine of the first slice; the one in the background computes once it may go on.

    Attributes:
        rows: of each batch, and `policies` the scheduling policy of the thread that computed it.
    """

    def __init__(self, background: "StandIn | None" = None):
        self._background = background
        self.begun, self.go, self.made = threading.Event(), threading.Event(), 0
        self.rows: list[int] = []
        self.policies: list[int] = []

    def in_background(self):
        self._background.made += 1
        return self._background

    def __call__(self, batch):
        self.begun.set()
        if self._background is None:
            assert self.go.wait(30)
        if (batch != 0).any():  # nothing that makes it warm
            self.rows.append(len(batch))
            self.policies.append(os.sched_getscheduler(0))
        return np.zeros((len(batch), 4), np.float16), np.zeros((len(batch), 4), np.float32)


@pytest.fixture
def engine(monkeypatch):
    engine = StandIn(background=StandIn())
    monkeypatch.setattr(graphs, "partition_engine", lambda *_: engine)
    return engine


def first_partition(store, monkeypatch, **compute):
    monkeypatch.setattr(endpoint, "max_ongoing_requests", lambda: 1)
    plan = store.current().plan
    stage = next(stage for stage in plan.stages() if not stage.is_lookup)
    compute = Compute(device="cpu", **{"threads": 1, "max_batch_rows": 8} | compute)
    return Partition.func_or_class(
        stage, plan, compute, "float32", LaneArgs(enabled=False), str(store.folder)
    )


@pytest.fixture
def partition(store, engine, monkeypatch):
    return first_partition(store, monkeypatch)


def test_a_request_is_answered_while_another_is_run_on(partition, engine):
    background = engine._background

    async def run():
        waiting = [
            asyncio.create_task(partition.ask(Run(PICTURES[:1], background=True))) for _ in range(2)
        ]
        assert await asyncio.to_thread(background.begun.wait, 30)
        async with asyncio.timeout(30):
            await asyncio.gather(*(partition.ask(Run(PICTURES)) for _ in range(3)))
        assert not any(task.done() for task in waiting)
        background.go.set()
        await asyncio.gather(*waiting)

    asyncio.run(run())
    assert sum(engine.rows) == 3 * len(PICTURES)
    assert background.rows == [1, 1], "each by itself"


def test_it_has_the_lowest_priority_and_requests_have_not(partition, engine):
    engine._background.go.set()

    async def run():
        await partition.ask(Run(PICTURES, background=True))
        await partition.ask(Run(PICTURES))

    asyncio.run(run())
    assert engine._background.policies == [os.SCHED_IDLE]
    assert engine.policies == [os.SCHED_OTHER]


def test_it_takes_no_memory_before_something_is_run_on_and_then_once(partition, engine):
    background = engine._background
    background.go.set()

    async def run():
        await partition.ask(Run(PICTURES))
        assert background.made == 0
        for _ in range(3):
            await partition.ask(Run(PICTURES, background=True))

    asyncio.run(run())
    assert background.made == 1


def test_one_too_many_is_refused_and_requests_are_not(partition, engine):
    async def run():
        waiting = [
            asyncio.create_task(partition.ask(Run(PICTURES, background=True)))
            for _ in range(MAX_IN_BACKGROUND)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Refused):
            await partition.ask(Run(PICTURES, background=True))
        await partition.ask(Run(PICTURES))
        engine._background.go.set()
        await asyncio.gather(*waiting)
        await partition.ask(Run(PICTURES, background=True))

    asyncio.run(run())


def test_what_nobody_wants_any_more_is_not_computed(partition, engine):
    background = engine._background

    async def run():
        first, second = (
            asyncio.create_task(partition.ask(Run(PICTURES, background=True))) for _ in range(2)
        )
        assert await asyncio.to_thread(background.begun.wait, 30)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        background.go.set()
        await first
        await partition.ask(Run(PICTURES[:1], background=True))

    asyncio.run(run())
    assert background.rows == [len(PICTURES), 1]


def test_an_engine_that_cannot_be_made_costs_a_sample_and_is_tried_again(partition, engine):
    engine._background.go.set()
    in_background, engine.in_background = engine.in_background, None

    async def run():
        with pytest.raises(Failed, match="Run failed"):
            await partition.ask(Run(PICTURES, background=True))
        await partition.ask(Run(PICTURES))
        engine.in_background = in_background
        await partition.ask(Run(PICTURES, background=True))

    asyncio.run(run())


def test_its_milliseconds_are_of_the_processors_time(partition, engine):
    async def run():
        waiting = asyncio.create_task(partition.ask(Run(PICTURES, background=True)))
        await asyncio.to_thread(engine._background.begun.wait, 30)
        await asyncio.sleep(0.2)
        engine._background.go.set()
        return await waiting

    reply = asyncio.run(run())
    assert 0 < reply.compute_ms[0] < 200


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads on Linux")
@pytest.mark.parametrize("engine_name", ["onnxruntime", "torch"])
def test_real_engines_compute_the_same_in_that_thread_alone(store, monkeypatch, engine_name):
    partition = first_partition(store, monkeypatch, threads=2, engine=engine_name)

    async def run():
        reply = await partition.ask(Run(PICTURES))
        before = threads()
        aside = await partition.ask(Run(PICTURES, background=True))
        return reply, aside, threads() - before

    reply, aside, more = asyncio.run(run())
    assert np.allclose(reply.activation, aside.activation, atol=1e-5)
    assert np.allclose(reply.features, aside.features, atol=1e-3)
    assert more <= 1


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.parametrize("of", ["requests", "run-ons"])
def test_a_partition_without_one_of_its_threads_is_unhealthy(partition, engine, of):
    engine._background.go.set()

    async def run():
        await partition.check_health()
        await partition.ask(Run(PICTURES, background=True))
        await partition.check_health()
        thread = partition._place if of == "requests" else partition._background._thread
        await asyncio.to_thread(end, thread)
        with pytest.raises(RuntimeError, match="a thread that computes has ended"):
            await partition.check_health()
        with pytest.raises(Lost):
            await partition.ask(Run(PICTURES, background=of == "run-ons"))

    asyncio.run(run())
