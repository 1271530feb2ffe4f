"""What is due, and why: decided from what is seen and a clock alone."""

import doctest

import numpy as np
import pytest

from deployments.config import Retraining
from deployments.follow import schedule as module
from deployments.follow.schedule import Round, Schedule, Seen

EVEN, ONE_SIDED = np.array([0.5, 0.5]), np.array([1.0, 0.0])
SEEN = Seen(EVEN, None, 0.5)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def schedule_for(clock, has_caches=True, **args):
    args = {"new_samples": 100, "changed_samples": 10} | args
    return Schedule(Retraining(**args), has_caches, clock)


def test_examples():
    assert doctest.testmod(module).failed == 0


# --- rounds --------------------------------------------------------------------------------------


def after_a_round(clock, new_samples, later_s=60, **args):
    schedule = schedule_for(clock, **args)
    schedule.round_begins(SEEN)
    schedule.new_samples += new_samples
    clock.now += later_s
    return schedule


@pytest.mark.parametrize(
    ("new_samples", "change", "why"),
    [
        (100, {}, "100 new samples"),
        (99, {}, None),
        (10, {"why_off": "an alarm"}, "caches are off: an alarm"),
        (10, {"mix": ONE_SIDED}, "the class mix has moved"),
        (9, {"mix": ONE_SIDED}, None),
        (10, {"hit_rate": 0.3}, "the hit rate fell from 50.0% to 30.0%"),
        (10, {"hit_rate": 0.45}, None),
    ],
)
def test_a_round_has_a_reason(clock, new_samples, change, why):
    due = after_a_round(clock, new_samples, mix_moved=0.4).round_due(SEEN._replace(**change))
    assert due == (why and Round(why, asked_for=False))


def test_a_round_comes_not_too_soon_and_not_too_late(clock):
    assert not after_a_round(clock, 100, later_s=59).round_due(SEEN)
    assert not after_a_round(clock, 10, later_s=3600).round_due(SEEN)
    due = after_a_round(clock, 10, later_s=3601).round_due(SEEN)
    assert due.why == "the last round was 3601 s ago"


@pytest.mark.parametrize("how", [{"rounds": False}, {"has_caches": False}])
def test_where_rounds_are_off_or_in_vain_there_are_none_unasked(clock, how):
    schedule = after_a_round(clock, 1000, **how)
    assert not schedule.round_due(SEEN)
    schedule.ask_for_round()
    assert schedule.round_due(SEEN) == Round("an operator asked for it", asked_for=True)


def test_an_operator_s_round_is_due_until_it_begins(clock):
    schedule = schedule_for(clock)
    schedule.ask_for_round()
    assert schedule.round_due(SEEN) and schedule.round_due(SEEN)
    schedule.round_begins(SEEN)
    assert not schedule.round_due(SEEN)


# --- old samples ---------------------------------------------------------------------------------


def test_what_has_expired_is_looked_for_once_a_minute_also_without_rounds(clock):
    schedule = schedule_for(clock, rounds=False)
    due = []
    for _ in range(300):
        clock.now += 1
        due.append(schedule.tidy_due())
    assert 4 <= sum(due) <= 5
