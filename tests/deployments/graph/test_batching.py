"""Requests that wait are computed together where they are alike, and nobody waits for others."""

import asyncio
import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest

from cache_models.network.stages import Answer
from deployments.graph.batching import Batching
from deployments.graph.compute import ComputeLoop, ComputeThread
from deployments.transport.errors import Lost


class Slow:
    """Doubles its batch; the first call waits until `go`, and each is kept."""

    def __init__(self):
        self.go, self.begun = threading.Event(), threading.Event()
        self.calls: list[tuple[list[int], tuple]] = []

    def __call__(self, batch, *args):
        self.begun.set()
        assert self.go.wait(10)
        self.calls.append((batch[:, 0].tolist(), args))
        if (batch < 0).any():
            raise ValueError("negative")
        return Answer(2 * batch[:, 0], batch)


@pytest.fixture
def slow():
    return Slow()


def gathered(slow, max_rows, *requests):
    """Replies to requests that came while the first one was computed."""
    batching = Batching(ComputeThread(), slow, max_rows)
    replies = [batching.submit(np.array([[0]]))]
    assert slow.begun.wait(10)
    replies += [batching.submit(np.array(rows)[:, None], *args) for rows, *args in requests]
    assert batching.queued == len(replies) - 1
    return batching, replies


def test_requests_that_wait_are_computed_together_and_each_gets_its_rows(slow):
    batching, replies = gathered(slow, 8, ([1], 0), ([2, 3], 0), ([4], 0))
    slow.go.set()
    assert [r.result(10).class_ids.tolist() for r in replies] == [[0], [2], [4, 6], [8]]
    assert slow.calls == [([0], ()), ([1, 2, 3, 4], (0,))]
    assert [len(r.result().queued_ms) for r in replies] == [1, 1, 2, 1]
    wait(replies)
    assert (batching.queued, batching.batches, batching.rows) == (0, 2, 5)
    assert batching.compute_s > 0


def test_what_is_not_alike_is_computed_apart_in_order(slow):
    _, replies = gathered(slow, 8, ([1], "a"), ([2], "b"), ([3], "a"))
    slow.go.set()
    assert [r.result(10).class_ids.tolist() for r in replies] == [[0], [2], [4], [6]]
    assert slow.calls[1:] == [([1, 3], ("a",)), ([2], ("b",))]


def test_a_batch_is_no_larger_than_it_may_be_but_a_large_request_is_computed(slow):
    _, replies = gathered(slow, 2, ([1], 0), ([2], 0), ([3], 0), ([4, 5, 6], 0))
    slow.go.set()
    wait(replies, 10)
    assert [rows for rows, _ in slow.calls[1:]] == [[1, 2], [3], [4, 5, 6]]


def test_a_request_that_nobody_wants_any_more_is_not_computed(slow):
    _, replies = gathered(slow, 8, ([1], 0), ([2], 0))
    assert replies[1].cancel()
    slow.go.set()
    assert replies[2].result(10).class_ids.tolist() == [4]
    assert slow.calls[1] == ([2], (0,))


def test_a_failure_is_its_batchs_own(slow):
    batching, replies = gathered(slow, 8, ([-1], 0))
    slow.go.set()
    with pytest.raises(ValueError, match="negative"):
        replies[1].result(10)
    assert batching.submit(np.array([[5]])).result(10).class_ids.tolist() == [10]


def test_a_client_that_is_alone_does_not_wait(slow):
    slow.go.set()
    batching = Batching(ComputeThread(), slow, 8)
    for i in range(3):
        batching.submit(np.array([[i]])).result(10)
    assert [rows for rows, _ in slow.calls] == [[0], [1], [2]]


def test_on_the_event_loop_what_has_arrived_is_computed_together(slow):
    slow.go.set()

    async def run():
        place = ComputeLoop()
        batching = Batching(place, slow, 8)

        async def reply(i):
            return (await place.done(batching.submit(np.array([[i]])))).class_ids.tolist()

        return await asyncio.gather(*(reply(i) for i in range(3))), await reply(5)

    first, later = asyncio.run(run())
    assert first == [[0], [2], [4]] and later == [10]
    assert [rows for rows, _ in slow.calls] == [[0, 1, 2], [5]]


def test_a_request_whose_time_is_over_is_not_computed(slow):
    batching = Batching(ComputeThread(), slow, 8)
    first = batching.submit(np.array([[0]]))
    assert slow.begun.wait(10)
    late = batching.submit(np.array([[1]]), until=time.monotonic() - 1)
    in_time = batching.submit(np.array([[2]]), until=time.monotonic() + 60)
    slow.go.set()
    with pytest.raises(Lost):
        late.result(10)
    assert in_time.result(10).class_ids.tolist() == [4] and first.result(10)
    assert [rows for rows, _ in slow.calls] == [[0], [2]]
