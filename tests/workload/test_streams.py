"""Streams are what their parameters say, the same for the same seed, and repeat no picture."""

import numpy as np
import pytest

from workload import locality, streams

LABELS = np.random.default_rng(0).integers(0, 10, 5_000)


def classes_of(text, count=10_000, seed=0):
    made = streams.make(text, count, LABELS, seed)
    return np.where(made.items == streams.NOISE, -1, LABELS[made.items])


@pytest.mark.parametrize("text", ["iid", "locality", "shift", "return", "foreign"])
def test_the_same_seed_gives_the_same_stream(text):
    one, same, other = (streams.make(text, 3000, LABELS, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.items, same.items) and np.array_equal(one.rounds, same.rounds)
    assert not np.array_equal(one.items, other.items)


def test_locality_has_the_classes_and_the_stay_that_it_is_asked_for():
    stays = []
    for seed in range(10):
        classes = classes_of("locality:classes=3,mean_stay=500", 20_000, seed)
        assert np.median([len(set(part)) for part in classes.reshape(-1, 50)]) == 3
        for class_id in range(10):
            at = np.flatnonzero(classes == class_id)
            ends = np.flatnonzero(np.diff(at, append=10**9) > 60)  # a gap that chance won't make
            starts = np.concatenate([[0], ends[:-1] + 1])
            stays += [at[e] - at[s] for s, e in zip(starts, ends, strict=True) if at[s] > 100]
    assert 420 < np.mean(stays) < 560


def test_locality_draws_its_classes_evenly():
    classes = classes_of("locality:classes=2,mean_stay=1000000000", 4000)
    assert np.bincount(classes).max() < 2150


def test_shift_changes_all_classes_at_once():
    classes = classes_of("shift:classes=4,at=3000")
    assert len(set(classes[:3000])) == 4 and len(set(classes[3000:])) == 4
    assert not set(classes[:3000]) & set(classes[3000:])


def test_return_comes_back():
    first, middle, last = np.array_split(classes_of("return", 9000), 3)
    assert set(first) == set(last) and not set(first) & set(middle)


def test_no_picture_is_sent_twice():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    labels = np.arange(60) % 3
    made = streams.make("iid", 200, labels, 0)
    sent = [streams.picture(images, i, r) for i, r in zip(made.items, made.rounds, strict=True)]
    assert len({picture.tobytes() for picture in sent}) == 200
    assert made.varied == 200 - len(set(made.items))


def test_noise_is_no_varied_copy():
    made = streams.make("foreign:at=100", 1000, LABELS, 0)
    assert (made.items == streams.NOISE).sum() == 900
    assert made.varied == 0
    noise = [streams.picture(np.zeros((1, 8, 8, 1), np.uint8), -1, r) for r in made.rounds[100:]]
    assert len({image.tobytes() for image in noise}) == 900


def test_a_varied_picture_is_still_like_itself():
    image = np.zeros((28, 28, 1), np.uint8)
    image[8:20, 8:20] = 200
    rng = np.random.default_rng(0)
    for _ in range(20):
        varied = streams.vary(image, rng)
        assert varied.shape == image.shape and varied.dtype == np.uint8
        assert np.corrcoef(varied.ravel(), image.ravel())[0, 1] > 0.7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zapf", "none of iid"),
        ("locality:class=3", "one of classes, mean_stay"),
        ("locality:classes=x", "a whole number above 0"),
        ("shift:classes=6", "needs 12 classes; the data have 10"),
        ("locality:classes=10", "needs 11 classes; the data have 10"),
        ("foreign:at=100", "not before the last of 100"),
    ],
)
def test_what_cannot_be_is_refused_with_what_may(text, says):
    with pytest.raises(streams.StreamError, match=says):
        streams.make(text, 100, LABELS, 0)


def test_locality_is_measured():
    few = locality.measure(classes_of("locality:classes=2"))
    everything = locality.measure(classes_of("iid"))
    assert few["window_entropy_bits"] < 1.2 < 3.2 < everything["window_entropy_bits"]
    for name in ("reuse_distance_p50", "reuse_distance_p90"):
        assert few[name] < everything[name]
    assert locality.reuse_distances(np.array([4, 7, 4, 4, 7])).tolist() == [2, 1, 3]
