"""Both at once where it costs nobody's time; a wasted slice is worth it only for rare hits."""

import asyncio

import numpy as np
import pytest
from tests.deployments.graph.test_late_binding import BATCH, FakeLookup, FakePartition

from deployments.graph.late_binding import LateBinding
from deployments.graph.speculation import Busy, Order
from deployments.graph.timeline import Timeline
from tests.plans import plan_for


@pytest.mark.parametrize(
    ("hit_rate", "busy", "at_once"),
    [(0.5, 0.0, True), (0.5, 1.0, False), (0.02, 1.0, True), (1.0, 0.0, False), (0.9, 0.2, False)],
)
def test_the_choice_follows_hit_rate_and_free_capacity(hit_rate, busy, at_once):
    order = Order("auto")
    order.looked_up(int(100 * hit_rate), 100, ms=2.0)
    order.ran(ms=20.0)
    assert order.speculates(busy) is at_once


def test_nothing_is_risked_before_anything_is_known_and_both_ways_can_be_forced():
    assert Order("auto").speculates(0.0) is False
    assert Order("speculative").speculates(1.0) is True
    assert Order("sequential").speculates(0.0) is False


def test_a_router_without_requests_becomes_idle():
    busy = Busy()
    busy.change(1)
    busy._at -= 10  # ten seconds later
    assert busy.share == 1
    busy.change(-1)
    busy._at -= 10
    assert busy.share == 0


@pytest.mark.parametrize("below", [(1, 6), (0, 0), (10, 10), (6, 10), (0, 6)])
def test_answers_are_the_same_in_either_order(below):
    def answered(order):
        partitions = [FakePartition(), FakePartition(), FakePartition(last=True)]
        lookups = [FakeLookup(limit, delay_s=0.01) for limit in below]
        binding = LateBinding(plan_for(("early", "late")), 7, partitions, lookups, 500, 4, order)
        answers = asyncio.run(binding.answer(BATCH, False, True, Timeline(0.0)))
        return answers, [p.rows for p in partitions]

    (one, few), (other, many) = answered("sequential"), answered("speculative")
    assert one.exits == other.exits
    assert np.array_equal(one.class_ids, other.class_ids)
    assert np.array_equal(one.probabilities, other.probabilities)
    assert all(a <= b for a, b in zip(few, many, strict=True))
