"""Those who send have keys, and what they send is theirs."""

from collections import Counter

import numpy as np
import pytest

from workload.errors import ParameterError
from workload.traffic import streams
from workload.traffic.locality import same_as_last
from workload.traffic.streams import ALL

LABELS = np.random.default_rng(0).integers(0, 10, 5_000)


def zones(rates=(10.0, 10.0, 4.0), seconds=30):
    """Times and sources of frames, as `workload.traffic.data` has them."""
    times = [np.arange(int(rate * seconds)) / rate for rate in rates]
    return np.concatenate(times), np.repeat(np.arange(len(rates)), [len(t) for t in times])


def test_cameras_send_their_own_frames_in_order_at_their_own_rates():
    times_s, sources = zones()
    made = streams.make("cameras", ALL, np.zeros(len(sources), int), 1, times_s, sources)
    assert len(made.items) == len(sources) and made.varied == 0
    assert (np.diff(made.times_s) >= 0).all() and made.times_s[0] == 0
    for source, rate in enumerate((10, 10, 4)):
        theirs = made.keys == f"camera-{source}"
        assert (sources[made.items[theirs]] == source).all()
        assert (np.diff(made.items[theirs]) == 1).all()
        assert np.allclose(np.diff(made.times_s[theirs]), 1 / rate)
    assert len(set(made.keys[:40])) == 3  # at the same time


def test_cameras_may_be_fewer_slower_and_leave_frames_out():
    times_s, sources = zones()
    text = "cameras:cameras=2,every=5,speed=0.5"
    made = streams.make(text, ALL, np.zeros(len(sources), int), 0, times_s, sources)
    assert set(made.keys) == {"camera-0", "camera-1"}
    one = made.keys == "camera-0"
    assert (np.diff(made.items[one]) == 5).all() and np.allclose(np.diff(made.times_s[one]), 1.0)
    some = streams.make(text, 10, np.zeros(len(sources), int), 0, times_s, sources)
    assert np.array_equal(some.items, made.items[:10])


def test_speakers_say_what_is_their_own():
    who_speaks = np.random.default_rng(1).integers(0, 12, 5_000)
    made = streams.make("speakers:speakers=8,at_once=2", 3_000, LABELS, 0, None, who_speaks)
    assert len(set(made.keys)) == 8
    assert (made.keys == [f"speaker-{who_speaks[i]}" for i in made.items]).all()


@pytest.mark.parametrize(
    ("text", "classes"), [("speakers:words=2", 2), ("users:topics=3,users=30", 3)]
)
def test_who_is_known_by_classes_has_a_few_of_them(text, classes):
    made = streams.make(text, 5_000, LABELS, 0)
    for key, count in Counter(made.keys).most_common(5):
        assert count > 100
        assert len(set(LABELS[made.items[made.keys == key]])) == classes
    assert len(set(LABELS[made.items])) > 2 * classes


def test_some_come_more_often_than_others_and_stay_for_a_visit():
    made = streams.make("users:users=40,mean_visit=50,at_once=2,s=1.2", 20_000, LABELS, 3)
    counts = [count for _, count in Counter(made.keys).most_common()]
    assert counts[0] > 5 * np.median(counts)
    assert len(set(made.keys[:60])) < 8
    assert same_as_last(made.keys).mean() == pytest.approx(0.5, abs=0.05)


def test_popular_items_come_again_as_copies_that_uploads_would_be():
    made = streams.make("popular:items=200,s=1.1", 4_000, LABELS, 0)
    counts = [count for _, count in Counter(made.items.tolist()).most_common()]
    assert len(counts) <= 200 and counts[0] > 10 * np.median(counts)
    assert made.keys is None and made.copies == "upload"
    assert made.varied == 4_000 - len(counts)
    assert made.rounds.max() == counts[0] - 1
    shared = streams.make("popular:vary=same,key=all", 100, LABELS, 0)
    assert set(shared.keys) == {"all"} and shared.varied == 0


@pytest.mark.parametrize("text", ["speakers", "users", "popular", "cameras"])
def test_the_same_seed_gives_the_same_stream(text):
    times_s, sources = zones()
    labels = np.arange(len(sources)) % 10
    one, same, other = (
        streams.make(text, 500, labels, seed, times_s, sources) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.items, same.items)
    assert np.array_equal(one.keys, same.keys)
    assert not np.array_equal(one.items, other.items)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cameras", "no video"),
        ("users:at_once=101", "there are 100"),
        ("users:topics=11", "needs 11 classes; the data have 10"),
        ("popular:vary=much", "none of moved, upload"),
        ("speakers:words=0", "a whole number above 0"),
    ],
)
def test_what_cannot_be_is_refused_with_what_may(text, says):
    with pytest.raises(ParameterError, match=says):
        streams.make(text, 100, LABELS, 0)


@pytest.mark.parametrize(("text", "says"), [("cameras:cameras=4", "have 3"), ("cameras", "720")])
def test_more_than_the_videos_have_is_refused(text, says):
    times_s, sources = zones()
    with pytest.raises(ParameterError, match=says):
        streams.make(text, 10_000, np.zeros(len(sources), int), 0, times_s, sources)
