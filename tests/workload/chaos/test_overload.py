"""What an overload's figures say of what was sent."""

from functools import partial

import numpy as np
import pytest

from workload.chaos import overload as over
from workload.client.answers import Answers

CAPACITY_PER_S = 100


def server(url, samples, due_s, in_flight, count, late_s=0.0) -> Answers:
    """Answers so many a second, refuses the rest at once; after an overload it is late a while."""
    answers = Answers.none(count)
    answers.due_s[:], answers.client_late_ms[:] = due_s, 0
    seconds = due_s.astype(int)
    for second in np.unique(seconds):
        which = np.flatnonzero(seconds == second)
        answered, refused = which[:CAPACITY_PER_S], which[CAPACITY_PER_S:]
        is_late = 20 <= second < 20 + late_s
        answers.exits[answered] = "input"
        answers.latency_ms[answered] = 200 if is_late else 10
        answers.latency_ms[refused], answers.failures[refused] = 2, "HTTP 503"
    return answers


@pytest.mark.parametrize("late_s", [0, 3])
def test_an_overload_is_found_and_told(monkeypatch, late_s):
    monkeypatch.setattr(over, "send", partial(server, late_s=late_s))
    found = over.overload("http://nowhere", range(10), 40, (10, 10, 10), 0, lambda said: None)
    assert found.capacity_per_s == pytest.approx(CAPACITY_PER_S, rel=0.05)
    before, overload, after = found.phases
    assert before.refused_per_s == after.refused_per_s == 0
    assert overload.offered_per_s == pytest.approx(3 * CAPACITY_PER_S, rel=0.1)
    assert overload.goodput_per_s == pytest.approx(CAPACITY_PER_S, rel=0.05)
    assert overload.refused_p99_ms == 2
    assert found.back_s == late_s
    assert f"latency is as before {late_s} s after" in over.describe(found)
