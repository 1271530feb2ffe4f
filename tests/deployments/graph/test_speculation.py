"""Both at once where it costs nobody's time; a wasted slice is worth it only for rare hits."""

import asyncio
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest

from deployments.graph.speculation import Busy, Kind, Speculation
from tests.places import BATCH, FakeLookup, FakePlace, cascade_for
from tests.plans import plan_for

STAGES = LOOKUP, PARTITION = plan_for(("input",)).stages()


@pytest.mark.parametrize(
    ("hit_rate", "busy", "at_once"),
    [(0.5, 0.0, True), (0.5, 1.0, False), (0.02, 1.0, True), (1.0, 0.0, False), (0.9, 0.2, False)],
)
def test_the_choice_follows_hit_rate_and_free_capacity(hit_rate, busy, at_once):
    speculation = Speculation(STAGES, "auto")
    speculation.busy = SimpleNamespace(share=busy)
    speculation.looked_up(LOOKUP, int(100 * hit_rate), 100, ms=2.0)
    speculation.ran(PARTITION, ms=20.0)
    assert speculation.begins_early(LOOKUP) is at_once


def test_nothing_is_risked_before_anything_is_known_and_both_ways_can_be_forced():
    early = {k: Speculation(STAGES, k).begins_early(LOOKUP) for k in get_args(Kind)}
    assert early == {"auto": False, "sequential": False, "speculative": True}


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
    def answered(kind):
        names = ("early", "late")
        place = FakePlace(names, [FakeLookup(limit, delay_s=0.01) for limit in below])
        speculation = Speculation(plan_for(names).stages(), kind)
        cascade = cascade_for(names, place, 0.5, speculation)
        return asyncio.run(cascade.answer(BATCH)), [p.rows for p in place.partitions]

    (one, few), (other, many) = answered("sequential"), answered("speculative")
    assert one.exits == other.exits
    assert np.array_equal(one.class_ids, other.class_ids)
    assert np.array_equal(one.probabilities, other.probabilities)
    assert all(a <= b for a, b in zip(few, many, strict=True))
