"""Learning rests in proportion to its work while there are requests, and not otherwise."""

import pytest

from deployments.follow import duty_cycle
from deployments.follow.duty_cycle import DutyCycle


@pytest.mark.parametrize(("busy", "rested"), [(True, 0.02), (False, None)])
def test_rest_is_in_proportion_to_work(monkeypatch, busy, rested):
    now, slept = [100.0], []
    monkeypatch.setattr(duty_cycle.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(duty_cycle.time, "sleep", slept.append)
    paced = DutyCycle(1 / 3, lambda: busy)
    now[0] += 0.01
    paced.rest()
    assert slept == ([] if rested is None else [pytest.approx(rested)])
    now[0] += 60  # a new round, later
    paced.rest()
    assert all(seconds <= duty_cycle.LONGEST_S for seconds in slept)
