"""Thresholds by hill climbing spend what is allowed where it saves most, and follow the traffic."""

import numpy as np

from cache_models.bench.apparate import PERIOD, RECENT, WINDOW, Tuner, leave, tuned

N = 1000
ANSWERS = np.zeros(N, int)
UNSURE = np.arange(N) / N


def exit_that_errs_from(place):
    """Right on the surer samples."""
    return (np.arange(N) >= place * N).astype(int)


def test_exits_that_never_err_answer_everything_at_the_first():
    labels, errors = [exit_that_errs_from(1.0)] * 2, [UNSURE] * 2
    limits = tuned(labels, errors, ANSWERS, np.array([1.0, 5.0, 10.0]), 0.01)
    exits, given = leave(labels, errors, limits)
    assert (exits == 0).mean() > 0.9 and (given[exits < 2] == 0).all()


def test_no_more_are_wrong_than_allowed_and_hardly_fewer():
    labels, errors = [exit_that_errs_from(0.3), exit_that_errs_from(0.6)], [UNSURE] * 2
    for most in (0.0, 0.01, 0.05):
        limits = tuned(labels, errors, ANSWERS, np.array([1.0, 5.0, 10.0]), most)
        exits, given = leave(labels, errors, limits)
        wrong = ((given >= 0) & (given != ANSWERS)).mean()
        assert most - 0.012 <= wrong <= most
        assert 0.25 <= (exits == 0).mean() <= 0.3 + most
        assert 0.25 <= (exits == 1).mean() <= 0.3 + most


def test_an_exit_that_costs_more_than_the_end_is_never_taken():
    limits = tuned([ANSWERS], [UNSURE], ANSWERS, np.array([11.0, 10.0]), 0.01)
    assert limits == [0.0]


def test_an_exit_that_is_never_sure_and_then_errs_is_tuned_between():
    unsure = 0.25 + 0.5 * UNSURE
    limits = tuned([exit_that_errs_from(0.2)], [unsure], ANSWERS, np.array([1.0, 10.0]), 0.01)
    assert 0.33 < limits[0] <= 0.36
    wrong = tuned([np.ones(N, int)], [unsure], ANSWERS, np.array([1.0, 10.0]), 0.01)
    assert wrong[0] <= 0.26


def hear(tuner, wrong, count):
    """So many requests of which the only exit, always as unsure, is wrong or right; how many left
    there."""
    left = 0
    for _ in range(count):
        exits = tuner.limits[0] > 0.2
        left += exits
        tuner.hear(np.array([wrong]), np.array([0.2]), given=wrong * exits, answer=0)
    return left


def test_an_exit_that_errs_is_closed_at_once_and_opens_when_its_errors_are_long_past():
    samples = [ANSWERS], [np.full(N, 0.2)], ANSWERS
    tuner = Tuner(*samples, np.array([1.0, 10.0]), max_disagreement=0.01)
    assert hear(tuner, wrong=0, count=1) == 1
    allowed = int(0.01 * WINDOW)
    assert 0 < hear(tuner, wrong=1, count=WINDOW) <= allowed + RECENT
    assert hear(tuner, wrong=0, count=WINDOW - PERIOD) == 0
    hear(tuner, wrong=0, count=PERIOD)
    assert hear(tuner, wrong=0, count=WINDOW) > WINDOW - PERIOD


def test_what_is_allowed_tunes_nothing_before_its_time():
    samples = [ANSWERS], [np.full(N, 0.2)], ANSWERS
    tuner = Tuner(*samples, np.array([1.0, 10.0]), max_disagreement=2 / RECENT)
    before = tuner.limits
    hear(tuner, wrong=1, count=2)
    assert tuner.limits is before
    hear(tuner, wrong=0, count=PERIOD - 2)
    assert tuner.limits is not before
