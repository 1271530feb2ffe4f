"""What each deployment has to do adds up to what the plan expects of a request."""

import pytest

from cache_models.bench.capacity import describe, loads
from tests.plans import plan_for

SHARES = {"input": 0.0, "early": 0.2, "late": 0.7}


def planned(names, exits):
    plan = plan_for(names, base_ms=100.0, lookup_ms=2.0)
    points = [p.model_copy(update={"compute_share": SHARES[p.name]}) for p in plan.candidates]
    expected = plan.expected.model_copy(update={"exits": exits})
    return plan.model_copy(update={"candidates": points, "expected": expected})


def test_a_cache_at_the_input_spares_all_partitions():
    plan = planned(["input", "late"], {"input": 0.6, "late": 0.3, "base": 0.1})
    assert [(load.deployment, round(load.reached, 6)) for load in loads(plan)] == [
        ("Lookup0", 1.0),
        ("Partition0", 0.4),
        ("Lookup1", 0.4),
        ("Partition1", 0.1),
    ]
    total = sum(load.ms_a_request for load in loads(plan))
    assert total == pytest.approx(2 + 0.4 * 70 + 0.4 * 2 + 0.1 * 30)
    assert [load.replicas(20) for load in loads(plan)] == [1, 1, 1, 1]
    assert [load.replicas(100) for load in loads(plan)] == [1, 4, 1, 1]
    assert "Replicas for 100 requests/s" in describe(plan, 100)


def test_without_caches_all_is_the_base_dnns():
    (load,) = loads(planned([], {"base": 1.0}))
    assert (load.deployment, load.reached, load.ms) == ("Partition0", 1.0, 100.0)
