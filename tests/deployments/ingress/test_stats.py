"""Stats of several routers add up."""

from deployments.ingress.stats import Stats, merge


def test_counts_and_latencies_of_all_routers_are_one():
    first, second = Stats(), Stats()
    first.count(["layer1.0", "base"], latency_ms=10)
    second.count(["base"], latency_ms=30)
    second.count_error(415)
    both = merge([first.snapshot({}, {}), second.snapshot({"layer1.0": 2}, {})])
    assert both["requests"] == 3
    assert both["hit_rate"] == 1 / 3
    assert both["exits"]["layer1.0"]["count"] == 1
    assert abs(both["exits"]["base"]["mean"] - 20) < 0.5
    assert abs(both["latency_ms"]["max"] - 30) < 0.5
    assert both["errors"] == {"415": 1}
    assert both["lookup_failures"] == {"layer1.0": 2}


def test_without_requests_there_is_no_hit_rate():
    assert merge([Stats().snapshot({}, {})])["hit_rate"] is None
