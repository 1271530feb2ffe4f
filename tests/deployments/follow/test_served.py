"""What a version has saved since it came into service."""

import pytest

from cache_models.store.version import CacheVersion
from deployments.follow.served import Served
from tests.plans import plan_for


def version(number, tmp_path):
    plan = plan_for(["early"])
    plan.expected = plan.expected.model_copy(
        update={"base_latency_ms": 30.0, "latency_ms": 20.0, "hit_rate": 0.5}
    )
    return CacheVersion(number, plan, tmp_path)


def test_without_traffic_nothing_is_said(tmp_path):
    told = Served(version(1, tmp_path)).told()
    assert told == {
        "version": 1,
        "requests": 0,
        "hit_rate": None,
        "hit_rate_before": None,
        "saved_ms": None,
    }


def test_what_it_saves_is_what_its_hits_do_beyond_those_before(tmp_path):
    first = Served(version(1, tmp_path))
    first.advance(100, 60)
    second = Served(version(2, tmp_path), first.hit_rate)
    second.advance(50, 10)
    second.advance(150, 30)
    told = second.told()
    assert told["requests"] == 200 and told["hit_rate"] == pytest.approx(0.8)
    assert told["hit_rate_before"] == pytest.approx(0.4)
    assert told["saved_ms"] == pytest.approx(0.4 * 20)  # a hit saves 20 ms by the plan
    records = second.beside([{"published": 2}, {"published": None}, {"published": 1}])
    assert [("did" in record) for record in records] == [True, False, False]
