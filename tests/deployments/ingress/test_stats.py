"""Stats of several routers add up."""

from deployments.ingress.stats import Stats, merge, together, traffic


def test_counts_and_latencies_of_all_routers_are_one():
    first, second = Stats(), Stats()
    first.count(["layer1.0", "base"], latency_ms=10)
    second.count(["base"], latency_ms=30)
    second.count_error(415)
    hops = {"Partition0": {"lane": 1, "handle": 2}}
    both = traffic(merge([first.snapshot({}, hops), second.snapshot({"layer1.0": 2}, hops)]))
    assert both.requests == 3
    assert both.hit_rate == 1 / 3
    assert both.exits["layer1.0"].count == 1
    assert abs(both.exits["base"].mean - 20) < 0.5
    assert abs(both.latency_ms.max - 30) < 0.5
    assert both.errors == {"415": 1}
    assert both.lookup_failures == {"layer1.0": 2}
    assert both.hops == {"Partition0": {"lane": 2, "handle": 4}}


def test_a_sum_may_be_added_to():
    stats = Stats()
    stats.count(["base"], latency_ms=10)
    one = stats.snapshot({}, {})
    assert traffic(merge([merge([one, one]), one])).latency_ms.count == 3


def test_without_requests_there_is_no_hit_rate():
    nothing = traffic(merge([Stats().snapshot({}, {})])).model_dump(exclude_unset=True)
    assert nothing["hit_rate"] is None
    assert nothing["latency_ms"] == {"count": 0}


def test_samples_queues_and_replicas_add_up():
    samples = {"taken": 5, "finished": 3, "dropped": 1, "waiting": 1}
    one = Stats().snapshot({}, {"Partition0": {"hops": 2, "hop_ms": 0.5}}, samples, ongoing=4)
    both = traffic(merge([one, one]))
    assert both.samples == {name: 2 * count for name, count in samples.items()}
    assert both.ongoing == 8
    assert both.hops == {"Partition0": {"hops": 4, "hop_ms": 1.0}}

    copies = Stats().snapshot({}, {}, own={"Lookup0": [{"rows": 7}]})
    assert merge([merge([copies]), one, copies]).own == {"Lookup0": [{"rows": 7}] * 2}

    replica = {"ongoing": 2, "queued": 1, "batches": 3, "rows": 7, "compute_ms": 1.5}
    assert together([replica, replica]).model_dump(exclude_unset=True) == {
        "replicas": 2,
        **{name: 2 * value for name, value in replica.items()},
    }
    assert together([replica | {"streams": 3, "stream_bytes": 100}]).streams == 3
