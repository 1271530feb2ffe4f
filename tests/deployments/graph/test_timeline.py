"""A request's steps in order, and what of a hop is the way itself."""

import time

import numpy as np

from cache_models.network.stages import Verdict
from deployments.graph.timeline import Timeline


def test_a_hop_is_told_apart_from_waiting_and_computing():
    start = time.perf_counter()
    timeline = Timeline(start)
    begin = time.perf_counter()
    with timeline.step("decode"):
        pass
    ones = np.ones(2, np.float32)
    verdict = Verdict(ones, ones, ones, ones, queued_ms=0.5 * ones, compute_ms=ones)
    time.sleep(0.005)
    timeline.hop("Lookup0", begin, verdict, 2)
    timeline.hop("Lookup1", time.perf_counter(), None, 1)
    lookup, decode, failed = timeline.told()
    assert (lookup["step"], decode["step"], failed["step"]) == ("Lookup0", "decode", "Lookup1")
    assert lookup["ms"] >= 5 and lookup["rows"] == 2
    parts = lookup["queued_ms"] + lookup["compute_ms"] + lookup["hop_ms"]
    assert abs(parts - lookup["ms"]) < 0.01
    assert "compute_ms" not in decode and "compute_ms" not in failed
