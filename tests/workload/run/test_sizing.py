"""What requests sent one by one have cost is what is simulated, and adds up to their latency."""

import numpy as np
import pytest
from click.testing import CliRunner

from cache_models.bench.capacity import with_caches
from cache_models.bench.simulation import simulate
from tests.plans import planned
from workload.__main__ import cli
from workload.run.profile import Profile
from workload.run.sizing import Compared, Percentile, as_measured, describe

NAN = np.nan
SYSTEM = with_caches(planned(["input"], {"input": 0.0, "base": 1.0}))


def seen(requests=40):
    """Each took 30 ms: 2 outside, 1 to decode, 4 + 2 at the lookup, 18 + 2 at the partition, and 1
    for the rest."""
    steps = {"decode": (1, NAN, NAN, NAN), "Lookup0": (6, 0, 4, 2), "Partition0": (20, 0, 18, 2)}
    return Profile(
        requests,
        np.full(requests, 30.0),
        np.full(requests, "base"),
        {name: np.tile(np.array(row, float), (requests, 1)) for name, row in steps.items()},
        np.full(requests, 1.0),
        np.full(requests, 2.0),
    )


def test_one_request_at_a_time_is_simulated_as_it_was_seen():
    found = simulate(as_measured(SYSTEM, [seen()], [seen(10)]), {}, np.arange(1, 21) * 1e3, cores=2)
    assert found.latency_ms == pytest.approx(30.0)


def test_what_was_seen_without_caches_counts_for_partitions():
    off = seen(10)
    off.by_step["Partition0"][:, 2] = 36.0
    del off.by_step["Lookup0"]
    lookup, partition = as_measured(SYSTEM, [seen()], [off]).stations
    assert set(lookup.ms) == {4.0}
    assert sorted(partition.ms) == [18.0] * 40 + [36.0] * 10


def test_the_report_says_how_far_off_the_simulation_is():
    p50, p99 = Percentile(11.0, 10.0, 9.5, 10.5), Percentile(90.0, 100.0, 80.0, 130.0)
    text = describe([Compared(17, 2000, p50, p99, {})])
    assert "+10%" in text and "-10%" in text and "80.0 to 130.0" in text


@pytest.mark.parametrize("given", [[], ["--rate", "0"]])
def test_it_needs_a_rate(given):
    result = CliRunner().invoke(cli, ["sizing", *given])
    assert result.exit_code == 2
    assert "'--rate'" in result.output.splitlines()[-1]
