"""What a system computes after its answers is paid for, and met by nobody else."""

from types import SimpleNamespace

from tests.plans import planned
from workload.compare.testbed import Testbed


def test_who_computes_all_requests_to_the_end_pays_so_at_every_exit_and_is_waited_for():
    urls = {"plain": "", "gati": "", "apparate": ""}
    nothing = SimpleNamespace()
    testbed = Testbed(nothing, nothing, planned(["input", "late"], {}), urls, {}, None)
    paid_ms = testbed.compute_ms
    assert paid_ms["apparate"].keys() == paid_ms["gati"].keys() == {"input", "late", "base"}
    assert set(paid_ms["apparate"].values()) == {paid_ms["gati"]["base"]}
    pauses_s = testbed.pauses_s(requests_per_turn=10)
    assert pauses_s["apparate"] > 10 * 0.1 > pauses_s["gati"] and "plain" not in pauses_s
