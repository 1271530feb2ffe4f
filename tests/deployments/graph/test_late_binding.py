"""Each row stops at its first hit; a lookup that fails or is late is a miss."""

import asyncio

import numpy as np
import pytest

from cache_models.store.plan import Plan
from deployments.graph.late_binding import LateBinding
from deployments.graph.timeline import Timeline
from deployments.transport.messages import Activation, Answer, Prior, Verdict
from tests.plans import plan_for

NAMES = ("early", "late")


@pytest.fixture
def plan() -> Plan:
    return plan_for(NAMES)


class FakePartition:
    """Hands its input on; counts the rows that it was given."""

    def __init__(self, last: bool = False):
        self.last = last
        self.rows = 0

    async def call(self, method, batch, resized, expected_bytes):
        self.rows += len(batch)
        self.resized = resized
        if self.last:
            return Answer(np.full(len(batch), 1), np.tile([0.0, 1.0], (len(batch), 1)))
        return Activation(batch, batch)


class FakeLookup:
    """Hits where the input is below `below`."""

    def __init__(self, below: float, fail: bool = False, delay_s: float = 0):
        self.below, self.fail, self.delay_s, self.calls = below, fail, delay_s, 0

    async def call(self, method, features, version, log_ratio, threshold, resized, expected_bytes):
        self.calls += 1
        self.resized, self.asked_with = resized, (version, Prior(log_ratio, threshold))
        await asyncio.sleep(self.delay_s)
        if self.fail:
            raise RuntimeError("lost")
        n = len(features)
        return Verdict(features[:, 0] < self.below, np.zeros(n, int), np.tile([1.0, 0.0], (n, 1)))

    async def broadcast(self, method, version):
        if self.fail:
            raise RuntimeError("lost")
        self.prepared = version


BATCH = np.array([[0.0], [5.0], [9.0]])


def answer(plan, partitions, lookups, use_caches=True, times=1, resized=False):
    binding = LateBinding(plan, 7, partitions, lookups, lookup_timeout_ms=50, bytes_per_value=4)

    async def run():
        for _ in range(times):
            answers = await binding.answer(BATCH, resized, use_caches, Timeline(0.0))
        return answers

    return asyncio.run(run()), binding


def test_rows_of_a_batch_exit_where_they_may(plan):
    partitions = [FakePartition(), FakePartition(), FakePartition(last=True)]
    answers, _ = answer(plan, partitions, [FakeLookup(1), FakeLookup(6)])
    assert answers.exits == ["early", "late", "base"]
    assert answers.class_ids.tolist() == [0, 0, 1]
    assert answers.probabilities.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert answers.cache_version == 7
    assert [p.rows for p in partitions] == [3, 2, 1]


def test_caches_off_asks_no_lookup(plan):
    lookups = [FakeLookup(10), FakeLookup(10)]
    partitions = [FakePartition(), FakePartition(), FakePartition(last=True)]
    answers, _ = answer(plan, partitions, lookups, use_caches=False)
    assert answers.exits == ["base"] * 3
    assert [lookup.calls for lookup in lookups] == [0, 0]


@pytest.mark.parametrize("lost", [{"fail": True}, {"delay_s": 5}])
def test_a_lookup_that_fails_or_is_late_is_a_miss(plan, lost):
    partitions = [FakePartition(), FakePartition(), FakePartition(last=True)]
    answers, binding = answer(plan, partitions, [FakeLookup(10, **lost), FakeLookup(6)])
    assert answers.exits == ["late", "late", "base"]
    assert binding.failures == {"early": 1}


def test_a_lookup_that_keeps_failing_is_left_alone_for_a_while(plan):
    partitions = [FakePartition(), FakePartition(), FakePartition(last=True)]
    lost = FakeLookup(10, fail=True)
    answer(plan, partitions, [lost, FakeLookup(6)], times=10)
    assert lost.calls == 3


def test_a_cache_at_the_input_is_asked_before_anything_is_computed():
    partitions = [FakePartition(), FakePartition(last=True)]
    lookups = [FakeLookup(1), FakeLookup(6)]
    answers, _ = answer(plan_for(("input", "late")), partitions, lookups, resized=True)
    assert answers.exits == ["input", "late", "base"]
    assert answers.class_ids.tolist() == [0, 0, 1]
    assert [p.rows for p in partitions] == [2, 1]
    assert [p.resized for p in (*lookups, *partitions)] == [True, False, True, False]


def test_a_cache_at_the_input_alone_leaves_the_base_dnn_whole():
    partitions = [FakePartition(last=True)]
    answers, _ = answer(plan_for(("input",)), partitions, [FakeLookup(1)], resized=True)
    assert answers.exits == ["input", "base", "base"]
    assert partitions[0].rows == 2 and partitions[0].resized


def test_a_request_keeps_the_version_and_the_mix_that_it_started_with(plan):
    partitions = [FakePartition(), FakePartition(), FakePartition(last=True)]
    lookups = [FakeLookup(1, delay_s=0.02), FakeLookup(6)]
    binding = LateBinding(plan, 7, partitions, lookups, lookup_timeout_ms=50, bytes_per_value=4)
    binding.prior = started_with = Prior(np.zeros(2), 0.9)

    async def run():
        answering = asyncio.create_task(binding.answer(BATCH, False, True, Timeline(0.0)))
        await asyncio.sleep(0.01)
        binding.version, binding.prior = 8, Prior()
        return await answering

    assert asyncio.run(run()).cache_version == 7
    assert all(lookup.asked_with == (7, started_with) for lookup in lookups)
