"""The simulation meets what queueing theory has in closed form, and adds up where nobody waits."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from cache_models.bench.simulation import poisson_ms, simulate
from cache_models.bench.system import ROUTER, Station, System

MS = 10.0
EXPONENTIAL_MS = tuple(-MS * math.log1p(-(i + 0.5) / 5000) for i in range(5000))
LOOKUP = Station("Lookup0", (2.0,), answers=0.8, hop_ms=1.0, is_lookup=True)
PARTITION = Station("Partition0", (30.0,), threads=2, hop_ms=1.0)
SERVED = System((LOOKUP, PARTITION), router_ms=(1.0,))


def alone(ms=EXPONENTIAL_MS, **of):
    return System((Station("One", ms, **of),))


def mean_ms(system, busy, replicas=1, seeds=range(4), count=10_000, **how):
    """And its standard error, over independent runs."""
    rate_per_s = busy * replicas / MS * 1e3
    means = [
        simulate(
            system, {"One": replicas}, poisson_ms(count, rate_per_s, seed), seed, **how
        ).latency_ms.mean()
        for seed in seeds
    ]
    return np.mean(means), np.std(means, ddof=1) / math.sqrt(len(means))


def agrees(found, expected):
    mean, error = found
    return abs(mean - expected) < max(4 * error, 0.01 * expected)


def erlang_c(servers, busy):
    """Probability that a request of an M/M/c queue waits."""
    load = servers * busy
    all_busy = load**servers / math.factorial(servers) / (1 - busy)
    return all_busy / (sum(load**k / math.factorial(k) for k in range(servers)) + all_busy)


@pytest.mark.parametrize("busy", [0.3, 0.7])
def test_one_replica_is_an_m_m_1_queue(busy):
    assert agrees(mean_ms(alone(), busy), MS / (1 - busy))


@pytest.mark.parametrize("busy", [0.3, 0.7])
def test_equal_requests_wait_as_in_an_m_d_1_queue(busy):
    assert agrees(mean_ms(alone((MS,)), busy), MS + busy * MS / (2 * (1 - busy)))


def test_threads_that_share_cores_are_a_processor_sharing_queue():
    """M/G/1-PS takes as long as M/M/1, however long each request takes: here all wait for no
    replica, since there are many, but share one core."""
    many = {"One": 200}
    due_ms = [poisson_ms(10_000, 60, seed) for seed in range(4)]
    means = [simulate(alone((MS,)), many, due, cores=1).latency_ms.mean() for due in due_ms]
    assert agrees((np.mean(means), np.std(means, ddof=1) / 2), MS / (1 - 0.6))


def test_replicas_asked_by_one_who_knows_all_are_nearly_an_m_m_c_queue():
    """Who joins the shortest queue waits at least as long as in M/M/c, where nobody waits at one
    replica while another is free; and at moderate loads hardly longer."""
    servers, busy = 4, 0.5
    waits_ms = erlang_c(servers, busy) * MS / (servers * (1 - busy))
    mean, error = mean_ms(alone(of_all=True), busy, servers)
    assert MS + waits_ms - 4 * error < mean < MS + 2 * waits_ms


def test_cores_that_many_threads_share_are_an_m_m_c_queue_in_how_busy_they_are():
    found = simulate(SERVED, {}, poisson_ms(4_000, 20, 0), cores=2)
    assert found.busy["Partition0"] == pytest.approx(20 * 0.2 * 30.5e-3, rel=0.15)
    assert found.busy["Lookup0"] == pytest.approx(20 * 2.5e-3, rel=0.15)


def test_without_hits_a_request_takes_what_the_plain_model_takes_and_hops_and_lookups():
    seldom_ms = np.arange(1, 201) * 1e3  # nobody waits
    missing = replace(SERVED, stations=(replace(LOOKUP, answers=0.0), PARTITION))
    plain = System((Station("Plain", (31.0,), threads=2, of_all=True),))
    more_ms = (
        simulate(missing, {}, seldom_ms).latency_ms - simulate(plain, {}, seldom_ms).latency_ms
    )
    assert more_ms == pytest.approx(2.0 + 2 * 1.0)


def test_without_hits_and_with_free_hops_and_lookups_it_is_the_plain_model_under_load():
    free = Station("Lookup0", (0.0,), answers=0.0, is_lookup=True)
    gati = System((free, Station("Partition0", (30.0,))))
    plain = System((Station("Plain", (30.0,)),))
    due_ms = poisson_ms(3_000, 25, 0)
    assert simulate(gati, {}, due_ms).latency_ms == pytest.approx(
        simulate(plain, {}, due_ms).latency_ms
    )


def test_hits_leave_where_the_plan_says():
    found = simulate(SERVED, {}, np.arange(1, 5_001) * 100.0)
    assert (found.latency_ms < 10).mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("name", [ROUTER, "Lookup0", "Partition0"])
def test_more_replicas_are_never_worse(name):
    due_ms = poisson_ms(3_000, 120, 0)
    found = [simulate(SERVED, {name: count}, due_ms) for count in (1, 2, 4)]
    for percent in (50, 99):
        took_ms = [one.percentile_ms(percent) for one in found]
        assert all(b <= 1.01 * a for a, b in pairwise(took_ms))


def test_what_waits_together_is_computed_together():
    batched = alone((MS,), max_batch_rows=8, more_rows=0.0)
    at_once = np.zeros(9)
    found = simulate(batched, {}, np.concatenate([at_once, [1e4]]))
    # the first begins by itself, and the next eight are one batch
    assert found.latency_ms.tolist() == pytest.approx([2 * MS] * 8 + [MS])


def test_samples_delay_nobody():
    due_ms = poisson_ms(2_000, 5, 0)
    run_on = replace(SERVED, stations=(LOOKUP, replace(PARTITION, sampled_ms=60.0)), sampled=0.2)
    without, with_samples = (simulate(s, {}, due_ms, cores=2) for s in (SERVED, run_on))
    assert with_samples.latency_ms == pytest.approx(without.latency_ms)


def test_speculation_saves_those_who_miss_the_lookup():
    seldom_ms = np.arange(1, 201) * 1e3
    after, early = (
        simulate(replace(SERVED, speculative=yes), {}, seldom_ms).latency_ms
        for yes in (False, True)
    )
    missed = after > 30
    assert early[missed] == pytest.approx(after[missed] - 2.75)  # but for the way there
    assert early[~missed] == pytest.approx(after[~missed])


LATE = replace(SERVED, stations=(replace(LOOKUP, ms=(150.0,), answers=1.0), PARTITION))


def test_a_lookup_that_is_late_is_a_miss():
    found = simulate(LATE, {}, np.arange(1, 51) * 2e3)
    assert found.latency_ms == pytest.approx(1.0 + 100.0 + 31.0)


def test_a_stage_that_is_late_three_times_in_a_row_is_asked_by_one_request_at_a_time():
    found = simulate(LATE, {"Partition0": 20}, np.arange(1, 401) * 25.0)
    waited = found.latency_ms > 100.0
    assert waited.mean() == pytest.approx(
        1 / 8, abs=0.03
    )  # each waits 100 ms, and then nobody for as long


def test_it_is_the_same_whenever_the_seed_is():
    due_ms = poisson_ms(500, 50, 0)
    one, again, other = (simulate(SERVED, {}, due_ms, seed).latency_ms for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
