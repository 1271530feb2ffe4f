"""Each row stops at its first hit; a lookup that fails or is late is a miss."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from cache_models.cascade import Control, Gone, Trace, UnderWay, run_now
from tests.places import BATCH, FakeLookup, FakePlace, cascade_for
from tests.plans import plan_for

NAMES = ("early", "late")


def answer(names, place, use_caches=True, times=1, resized=False):
    cascade = cascade_for(names, place)

    async def run():
        for _ in range(times):
            answers = await cascade.answer(BATCH, resized, use_caches)
        return answers

    return asyncio.run(run())


def place_for(names=NAMES, below=(1, 6), **lookup):
    """Partitions for `names`, and a lookup at each; the first one as `lookup` says."""
    first, *others = below
    return FakePlace(names, [FakeLookup(first, **lookup), *map(FakeLookup, others)])


def test_rows_of_a_batch_exit_where_they_may():
    place = place_for()
    answers = answer(NAMES, place)
    assert answers.exits == ["early", "late", "base"]
    assert answers.class_ids.tolist() == [0, 0, 1]
    assert answers.probabilities.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert answers.cache_version == 7
    assert [p.rows for p in place.partitions] == [3, 2, 1]


def test_caches_off_asks_no_lookup():
    place = place_for(below=(10, 10))
    assert answer(NAMES, place, use_caches=False).exits == ["base"] * 3
    assert [lookup.calls for lookup in place.lookups] == [0, 0]


@pytest.mark.parametrize("lost", [{"fail": True}, {"delay_s": 5}])
def test_a_lookup_that_fails_or_is_late_is_a_miss(lost):
    assert answer(NAMES, place_for(below=(10, 6), **lost)).exits == ["late", "late", "base"]


def test_a_partition_that_fails_fails_the_request():
    place = place_for()
    place.partitions[1].fail = True
    with pytest.raises(RuntimeError, match="lost"):
        answer(NAMES, place)


def test_where_an_activation_is_gone_the_request_walks_once_more_past_all_caches():
    place = place_for()
    place.partitions[1].gone = 1
    trace = Trace(resized=False, row=2)
    answers = run_now(cascade_for(NAMES, place).answer(BATCH, trace=trace))
    assert answers.exits == ["base"] * 3
    assert [p.rows for p in place.partitions] == [6, 5, 3]
    assert [lookup.calls for lookup in place.lookups] == [1, 0]
    assert trace.whole and trace.said == [None, None] and len(trace.asked) == 2


def test_a_request_whose_activations_are_always_gone_fails():
    place = place_for()
    place.partitions[1].gone = 5
    with pytest.raises(Gone):
        answer(NAMES, place)
    assert place.partitions[1].gone == 3


def test_a_cache_at_the_input_is_asked_before_anything_is_computed():
    names = ("input", "late")
    place = place_for(names)
    answers = answer(names, place, resized=True)
    assert answers.exits == ["input", "late", "base"]
    assert answers.class_ids.tolist() == [0, 0, 1]
    assert [p.rows for p in place.partitions] == [2, 1]
    stages = (*place.lookups, *place.partitions)
    assert [stage.resized for stage in stages] == [True, False, True, False]


def test_a_cache_at_the_input_alone_leaves_the_base_dnn_whole():
    place = place_for(("input",), below=(1,))
    answers = answer(("input",), place, resized=True)
    assert answers.exits == ["input", "base", "base"]
    assert place.partitions[0].rows == 2 and place.partitions[0].resized


def test_a_request_keeps_what_it_started_with():
    place = place_for(delay_s=0.02)
    cascade = cascade_for(NAMES, place)
    cascade.control = Control(7, True, 0.9)

    async def run():
        answering = asyncio.create_task(cascade.answer(BATCH))
        await asyncio.sleep(0.01)
        cascade.control = Control(8, False)
        return await answering

    assert asyncio.run(run()).cache_version == 7
    for lookup in place.lookups:
        assert lookup.asked_with == (7, 0.9)


def test_what_is_left_of_the_time_goes_along():
    place = place_for(below=(0, 0))
    cascade = cascade_for(NAMES, place, lookup_timeout_s=0.5)
    asyncio.run(cascade.answer(BATCH, timeout_s=2.0))
    assert all(1.5 < p.timeout_s <= 2.0 for p in place.partitions)
    assert [lookup.timeout_s for lookup in place.lookups] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("row", "asked_before", "run_on"),
    [(0, ["early"], 2), (1, ["early", "late"], 1), (2, ["early", "late"], 0)],
)
def test_one_row_of_a_sampled_request_is_run_on_from_where_it_hit_and_judged(
    row, asked_before, run_on
):
    """The first row hits at the early cut point, the second at the late one, the third nowhere."""
    place = place_for()
    cascade, trace = cascade_for(NAMES, place), Trace(resized=False, row=row)

    async def run():
        await cascade.answer(BATCH, trace=trace)
        computed = sum(p.rows for p in place.partitions)
        assert trace.whole == (run_on == 0) and len(trace.asked) == len(asked_before)
        if not trace.whole:
            assert (await cascade.finish(trace)).class_ids.tolist() == [1]
        await cascade.judge(trace)
        return sum(p.rows for p in place.partitions) - computed

    assert asyncio.run(run()) == run_on
    assert sum(p.background_rows for p in place.partitions) == run_on
    assert trace.compute_ms >= run_on
    assert [said.confidence for said in trace.said] == [BATCH[row, 0]] * 2


def test_a_walk_where_nothing_waits_needs_no_event_loop():
    place = place_for()
    assert run_now(cascade_for(NAMES, place).answer(BATCH)).exits == ["early", "late", "base"]


def test_a_place_that_waits_is_refused_where_there_is_no_event_loop():
    class Waits(FakePlace):
        async def ask(self, stage, message, timeout_s=None):
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waited"):
        run_now(cascade_for(NAMES, Waits(NAMES, [])).answer(BATCH))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), ["Partition0"]),
        (("input",), ["Lookup0", "Partition0"]),
        (("input", "late"), ["Lookup0", "Partition0", "Lookup1", "Partition1"]),
        (NAMES, ["Partition0", "Lookup0", "Partition1", "Lookup1", "Partition2"]),
    ],
)
def test_a_plan_says_what_its_stages_are(names, expected):
    stages = plan_for(names, width=5).stages()
    assert [stage.name for stage in stages] == expected
    partitions = [stage for stage in stages if not stage.is_lookup]
    assert [stage.at_input for stage in partitions] == [True] + [False] * (len(partitions) - 1)
    assert [stage.is_last for stage in partitions] == [False] * (len(partitions) - 1) + [True]
    for before, after in pairwise(partitions):
        assert before.end == after.start and before.activation == after.takes
    assert [stage.start for stage in stages if stage.is_lookup] == list(names)


def test_lookups_that_remember_are_told_what_the_base_dnn_answered_and_nothing_else():
    place = place_for()
    cascade = cascade_for(NAMES, place, remember=("late",))
    asyncio.run(cascade.answer(BATCH, stream="s", at=5.0))
    assert [lookup.streams for lookup in place.lookups] == [[("", 0.0)], [("s", 5.0)]]
    ((name, told),) = place.told
    assert name == "Lookup1" and (told.stream, told.at, told.version) == ("s", 5.0, 7)
    assert told.batch.tolist() == [[9.0]] and told.class_ids.tolist() == [1]


def test_without_a_stream_nothing_is_remembered():
    place = place_for()
    cascade = cascade_for(NAMES, place, remember=NAMES)
    asyncio.run(cascade.answer(BATCH, at=5.0))
    assert not place.told
    assert [lookup.streams for lookup in place.lookups] == [[("", 0.0)], [("", 0.0)]]


def test_a_sampled_hit_is_remembered_once_the_base_dnn_has_answered_it():
    place = place_for()
    cascade = cascade_for(NAMES, place, remember=NAMES)

    async def run():
        trace = Trace(resized=False, row=0, stream="s", at=5.0)
        await cascade.answer(BATCH, trace=trace, stream="s", at=5.0)
        place.told.clear()
        answer = await cascade.finish(trace)
        await cascade.judge(trace)
        cascade.remember(trace, int(answer.class_ids[0]))

    asyncio.run(run())
    assert [(name, told.class_ids.tolist(), told.at) for name, told in place.told] == [
        ("Lookup0", [1], 5.0),
        ("Lookup1", [1], 5.0),
    ]


def test_where_caches_are_only_judged_they_remember_all_the_same_and_each_request_once():
    place = place_for()
    cascade = cascade_for(NAMES, place, remember=NAMES)

    async def run(use_caches):
        trace = Trace(resized=False, row=2, stream="s", at=5.0)
        answers = await cascade.answer(BATCH, False, use_caches, trace=trace, stream="s", at=5.0)
        told = len(place.told)
        await cascade.judge(trace)
        cascade.remember(trace, int(answers.class_ids[2]))
        return told, len(place.told)

    assert asyncio.run(run(use_caches=False)) == (0, 2)
    place.told.clear()
    assert asyncio.run(run(use_caches=True)) == (2, 2)


class Camera(FakePlace):
    """The base DNN answers one request after the other, as `turn` says; a lookup with a memory
    hits what is as an input that is remembered, and came before."""

    def __init__(self):
        super().__init__(["input"], [FakeLookup(0)])
        self.base, self.turn, self.cancelled = 0, asyncio.Semaphore(0), 0

    async def ask(self, stage, message, timeout_s=None):
        if stage.is_lookup:
            verdict = await self.lookups[0].run(*message)
            known = [
                told.batch[0, 0]
                for _, told in self.told
                if told.stream == message.stream and told.at < message.at
            ]
            hits = np.isin(message.batch[:, 0], known)
            return verdict._replace(hits=hits)
        try:
            await self.turn.acquire()
            self.base += 1
            return await self.partitions[0].run(*message)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def seen(frames, streams, under_way):
    """Where frames in a row exit, all of which come before the first has been answered, where the
    base DNN takes longer than all else; and the place."""
    place = Camera()
    cascade = cascade_for(["input"], place, remember=["input"], under_way=under_way)

    async def run():
        asked = [
            asyncio.create_task(cascade.answer(np.array([[frame]]), stream=stream, at=float(at)))
            for at, (frame, stream) in enumerate(zip(frames, streams, strict=True), 1)
        ]
        while not all(task.done() for task in asked):
            for _ in range(200):
                await asyncio.sleep(0)
            place.turn.release()
        return await asyncio.gather(*asked)

    return [answers.exits[0] for answers in asyncio.run(run())], place


def test_frames_that_wait_for_the_base_dnn_are_answered_from_the_first_that_is():
    exits, place = seen([4.0] * 6, ["s"] * 6, UnderWay())
    assert exits == ["base"] + ["input"] * 5
    assert place.base == 1 and place.cancelled == 5
    assert len(place.told) == 1  # and what a cache answers is not remembered
    assert place.lookups[0].calls == 6 + 5


def test_without_it_each_of_them_is_computed():
    exits, place = seen([4.0] * 6, ["s"] * 6, None)
    assert exits == ["base"] * 6 and place.base == 6


def test_whoever_waits_is_asked_anew_in_turn_and_as_far_as_there_are_hits():
    under_way = UnderWay()
    exits, place = seen([4.0, 4.0, 7.0, 7.0, 4.0], ["s"] * 5, under_way)
    assert exits == ["base", "input", "base", "input", "input"]
    assert place.base == 2
    assert not under_way.waiting


def test_streams_wait_for_nobody_else():
    exits, place = seen([4.0] * 4, ["a", "b", "", ""], UnderWay())
    assert exits == ["base"] * 4 and place.lookups[0].calls == 4


def test_a_failure_of_the_base_dnn_reaches_whoever_waits():
    place = Camera()
    place.partitions[0].fail = True
    place.turn.release()
    under_way = UnderWay()
    cascade = cascade_for(["input"], place, remember=["input"], under_way=under_way)
    with pytest.raises(RuntimeError, match="lost"):
        asyncio.run(cascade.answer(np.array([[1.0]]), stream="s", at=1.0))
    assert not under_way.waiting
