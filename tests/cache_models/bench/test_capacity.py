"""What each deployment has to do adds up to what the plan expects of a request."""

import pytest

from cache_models.bench.capacity import describe_loads, loads, with_caches
from tests.plans import planned


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
    assert f"{total:.2f} ms a request in all" in describe_loads(plan)
    stations = with_caches(plan).stations
    assert [station.answers for station in stations] == pytest.approx([0.6, 0, 0.75, 1])


def test_without_caches_all_is_the_base_dnns():
    (load,) = loads(planned([], {"base": 1.0}))
    assert (load.deployment, load.reached, load.ms) == ("Partition0", 1.0, 100.0)
