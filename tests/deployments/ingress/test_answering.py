"""A request is answered in chunks, until its deadline, and counted once a row."""

import asyncio
import time

import numpy as np
import pytest

from deployments.graph.timeline import Timeline
from deployments.ingress.answering import CHUNK_ROWS, Answering
from deployments.ingress.resizing import Input
from deployments.ingress.stats import Stats, traffic
from deployments.transport.errors import Failed
from tests.places import FakeLookup, FakePlace, cascade_for

BATCH = np.arange(float(3 * CHUNK_ROWS + 1))[:, None]


class FakeSampling:
    """Samples everything."""

    def __init__(self):
        self.added, self.streams = [], []

    def choose(self):
        return 1.0

    def add(self, trace, answers, inclusion, rows):
        self.added.append((trace.row, len(answers.exits), inclusion, rows))
        self.streams.append(trace.stream)


class FakeBusy:
    def __init__(self):
        self.requests = 0

    def change(self, by):
        self.requests += by


class Served:
    """One cache, which hits below 10, and all around it."""

    def __init__(self, max_rows=1000, delay_s=0.0):
        self.lookup = FakeLookup(10, delay_s=delay_s)
        self.place = FakePlace(("early",), [self.lookup])
        self.sampling, self.stats = FakeSampling(), Stats()
        cascade = cascade_for(("early",), self.place, lookup_timeout_s=60.0)
        self.busy = FakeBusy()
        self.answering = Answering(
            cascade, self.sampling, self.stats, lambda _: max_rows, self.busy
        )

    def answer(self, batch=BATCH, use_caches=True, stream=""):
        timeline = Timeline(time.perf_counter())
        given = Input(batch), use_caches, timeline, stream, 60.0
        return asyncio.run(self.answering.answer(*given))

    @property
    def counted(self):
        return {name: e.count for name, e in traffic(self.stats.snapshot({}, {})).exits.items()}


def test_rows_come_back_in_order_in_chunks_that_fit_a_message():
    served = Served()
    answers = served.answer()
    assert answers.exits == ["early"] * 10 + ["base"] * (len(BATCH) - 10)
    assert answers.class_ids.tolist() == [0] * 10 + [1] * (len(BATCH) - 10)
    assert answers.probabilities.shape == (len(BATCH), 2)
    assert [part.rows for part in served.place.partitions] == [len(BATCH), len(BATCH) - 10]
    assert served.counted == {"early": 10, "base": len(BATCH) - 10}
    assert served.busy.requests == 0


def test_large_rows_go_fewer_at_a_time():
    served = Served(max_rows=5)
    served.answer(BATCH[:12])
    assert served.lookup.calls == 3


def test_one_row_drawn_at_random_stands_for_a_request():
    drawn = set()
    for _ in range(200):
        served = Served(max_rows=5)
        served.answer(BATCH[:7])
        ((row, of, inclusion, rows),) = served.sampling.added
        assert (inclusion, rows) == (1.0, 7)
        drawn.add((row, of))
    assert drawn == {(row, 5) for row in range(5)} | {(0, 2), (1, 2)}


def test_a_sample_knows_its_stream():
    served = Served()
    served.answer()
    served.answer(stream="0123456789abcdef")
    assert served.sampling.streams == ["", "0123456789abcdef"]


def test_with_caches_off_nothing_is_counted_or_sampled():
    served = Served()
    assert set(served.answer(use_caches=False).exits) == {"base"}
    assert served.sampling.added == []
    assert served.counted == {}


@pytest.mark.parametrize("rows", [1, len(BATCH)])
def test_the_first_error_is_raised_as_it_is(rows):
    served = Served()

    async def ask(stage, message, timeout_s=None):
        raise Failed("odd")

    served.place.ask = ask
    with pytest.raises(Failed, match="odd"):
        served.answer(BATCH[-rows:])
    assert served.busy.requests == 0
    assert served.counted == {}


def test_the_deadline_counts_from_the_requests_start():
    served = Served()
    timeline = Timeline(time.perf_counter() - 20)
    asyncio.run(served.answering.answer(Input(BATCH[:1]), False, timeline, "", 50.0))
    assert 29 < served.place.partitions[0].timeout_s < 30.1


def test_a_client_that_leaves_ends_all_chunks():
    served = Served(delay_s=30)

    async def leave():
        timeline = Timeline(time.perf_counter())
        task = asyncio.create_task(served.answering.answer(Input(BATCH), True, timeline))
        async with asyncio.timeout(30):
            while served.lookup.calls < 4:
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(leave()) == set()
    assert served.busy.requests == 0
