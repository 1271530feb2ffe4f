"""A round's requests are compared with those right after it, and nothing else."""

import numpy as np
import pytest

from tests.workload.fake_server import serving
from workload.client.answers import ERROR, Answers
from workload.errors import ParameterError
from workload.run.rounds import cost, measure

START = 1_000.0


def answered(slow, n=1_000, rate=10.0):
    """Answers of 10 ms, and of 15 ms in the intervals `slow`."""
    answers = Answers.none(n)
    answers.due_s[:] = np.arange(n) / rate
    answers.exits[:] = "input"
    answers.latency_ms[:] = 10
    for begin, end in slow:
        answers.latency_ms[(answers.due_s >= begin) & (answers.due_s < end)] = 15
    return answers


def record(begin, end, published=None):
    return {"began": START + begin, "at": START + end, "published": published}


def test_a_round_is_compared_with_as_long_a_time_after_it():
    answers = answered([(10, 20), (40, 50)])
    answers.exits[::100] = ERROR
    answers.latency_ms[::100] = np.nan
    found = cost(answers, START, [record(10, 20), record(40, 50, published=2)])
    assert found.during_ms == pytest.approx([15, 15])
    assert found.after_ms == pytest.approx([10, 10])
    assert found.seconds == pytest.approx([10, 10])
    assert (found.published, found.errors) == (1, 10)
    assert found.ratio.value == pytest.approx(1.5)
    assert "2 rounds of 10 to 10 s, 1 published" in str(found)


def test_a_round_that_was_not_left_alone_before_the_end_does_not_count():
    found = cost(answered([]), START, [record(85, 95)])
    assert found.ratio is None
    assert "no round ended" in str(found)


def test_a_server_without_the_token_says_so():
    with serving(lambda path, body: {}) as url, pytest.raises(ParameterError, match="ADMIN_TOKEN"):
        measure(url, "wrong", [np.zeros((8, 8, 1), np.uint8)], np.zeros(1))
