"""Streams are what their parameters say, the same for the same seed, and repeat no picture."""

import numpy as np
import pytest

from workload.errors import ParameterError
from workload.traffic import streams
from workload.traffic.variation import NOISE, sample

LABELS = np.random.default_rng(0).integers(0, 10, 5_000)


def classes_of(text, count=10_000, seed=0):
    made = streams.make(text, count, LABELS, seed)
    return np.where(made.items == NOISE, -1, LABELS[made.items])


@pytest.mark.parametrize(
    "text",
    [
        "iid",
        "drift",
        "zipf",
        "locality",
        "shift",
        "return",
        "diurnal",
        "newcomer",
        "foreign",
        "foreign:kind=digits",
    ],
)
def test_the_same_seed_gives_the_same_stream(text):
    one, same, other = (streams.make(text, 3000, LABELS, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.items, same.items) and np.array_equal(one.rounds, same.rounds)
    assert not np.array_equal(one.items, other.items)


def test_iid_sends_every_image_before_it_sends_one_varied():
    made = streams.make("iid", 6000, LABELS, 0)
    assert sorted(made.items[:5000]) == list(range(5000))
    assert made.varied == 1000 and made.rounds[:5000].max() == 0


def test_drift_sends_what_iid_does_and_wears_it_evenly_until_it_stays():
    plain, made = (streams.make(text, 9000, LABELS, 3) for text in ("iid", "drift:over=4000"))
    assert np.array_equal(made.items, plain.items) and np.array_equal(made.rounds, plain.rounds)
    assert plain.worn is None and made.worn[0].tolist() == [1, 0, 0]
    assert np.allclose(made.worn[2000], (made.worn[0] + made.worn[4000]) / 2)
    assert (made.worn[4000:] == [0.6, 0.02, 15]).all()
    longer = streams.make("drift:over=4000", 9500, LABELS, 4)
    assert np.array_equal(longer.worn[:9000], made.worn)  # by the request's number alone


def test_a_video_goes_in_order_at_its_own_times():
    made = streams.make("video", 3, np.zeros(10, int), 0, np.arange(10) / 25)
    assert made.items.tolist() == [0, 1, 2] and made.varied == 0
    assert made.times_s.tolist() == [0.0, 0.04, 0.08]
    with pytest.raises(ParameterError, match="10 frames"):
        streams.make("video", 11, np.zeros(10, int), 0)


def test_noise_is_no_varied_copy():
    made = streams.make("foreign:at=100", 1000, LABELS, 0)
    assert (made.items == NOISE).sum() == 900
    assert made.varied == 0
    noise = [sample(np.zeros((1, 8, 8, 1), np.uint8), -1, r) for r in made.rounds[100:]]
    assert len({image.tobytes() for image in noise}) == 900


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zapf", "none of iid"),
        ("locality:class=3", "one of classes, mean_stay"),
        ("locality:classes=x", "a whole number above 0"),
        ("shift:classes=6", "needs 12 classes; the data have 10"),
        ("locality:classes=10", "needs 11 classes; the data have 10"),
        ("foreign:at=100", "not before the last of 100"),
        ("foreign:kind=cats", "none of noise, inverted, digits, gratings"),
        ("newcomer:which=10", "which is '10'; it may be drawn, 0, 1"),
        ("newcomer:at=100", "not before the last of 100"),
        ("drift:turn=0", "turn is '0'; it may be a number above 0"),
        ("zipf:s=-1", "s is '-1'; it may be a number above 0"),
        ("replay", "needs its trace"),
    ],
)
def test_what_cannot_be_is_refused_with_what_may(text, says):
    with pytest.raises(ParameterError, match=says):
        streams.make(text, 100, LABELS, 0)
