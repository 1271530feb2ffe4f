"""Streams are what their parameters say, the same for the same seed, and repeat no picture."""

import numpy as np
import pytest

from workload.errors import ParameterError
from workload.traffic import locality, streams, trace
from workload.traffic.variation import NOISE, Pictures, picture, vary

LABELS = np.random.default_rng(0).integers(0, 10, 5_000)


def classes_of(text, count=10_000, seed=0):
    made = streams.make(text, count, LABELS, seed)
    return np.where(made.items == NOISE, -1, LABELS[made.items])


@pytest.mark.parametrize(
    "text",
    ["iid", "zipf", "locality", "shift", "return", "diurnal", "foreign", "foreign:kind=digits"],
)
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


def test_zipf_has_the_popularities_that_its_exponent_says():
    shares = np.sort(np.bincount(classes_of("zipf:s=1.5", 40_000)) / 40_000)[::-1]
    expected = np.arange(1, 11) ** -1.5
    assert np.allclose(shares, expected / expected.sum(), atol=0.012)  # 5 standard errors
    slope = np.polyfit(np.log(np.arange(1, 11)), np.log(shares), 1)[0]
    assert abs(slope + 1.5) < 0.06


def test_diurnal_comes_round_and_is_as_concentrated_as_asked():
    classes = classes_of("diurnal:period=4000,concentration=4", 16_000)
    mixes = [np.bincount(part, minlength=10) / 500 for part in classes.reshape(-1, 500)]
    assert np.abs(mixes[0] - mixes[8]).sum() < 0.3  # a period later
    assert np.abs(mixes[0] - mixes[4]).sum() > 1.5  # half a period later
    assert locality.measure(classes)["window_entropy_bits"] < 2.5
    even = classes_of("diurnal:period=4000,concentration=0.01", 16_000)
    assert np.ptp(np.bincount(even)) < 250


def test_iid_sends_every_image_before_it_sends_one_varied():
    made = streams.make("iid", 6000, LABELS, 0)
    assert sorted(made.items[:5000]) == list(range(5000))
    assert made.varied == 1000 and made.rounds[:5000].max() == 0


def test_a_video_goes_in_order_at_its_own_times():
    made = streams.make("video", 3, np.zeros(10, int), 0, np.arange(10) / 25)
    assert made.items.tolist() == [0, 1, 2] and made.varied == 0
    assert made.times_s.tolist() == [0.0, 0.04, 0.08]
    with pytest.raises(ParameterError, match="10 frames"):
        streams.make("video", 11, np.zeros(10, int), 0)


@pytest.mark.parametrize("kind", ["noise", "inverted", "digits", "gratings"])
def test_foreign_images_are_of_the_datas_shape_and_never_alike(kind):
    images = np.random.default_rng(0).integers(0, 256, (90, 14, 12, 3), np.uint8)
    made = streams.make(f"foreign:classes=3,at=10,kind={kind}", 150, np.arange(90) % 3, 0)
    sent = Pictures(images, made.items, made.rounds)
    assert {one.shape for one in sent} == {(14, 12, 3)}
    assert len({one.tobytes() for one in sent}) == 150
    assert made.varied == (50 if kind == "inverted" else 0)  # 140 negatives of 90 images


def test_a_replayed_trace_sends_the_same_pictures(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    labels = np.arange(60) % 3
    made = streams.make("foreign:classes=2,at=90,kind=gratings", 120, labels, 0)
    due_s = np.arange(120) / 7
    trace.write(tmp_path / "t.jsonl", due_s, made.items, made.rounds)
    again = streams.make(f"replay:file={tmp_path}/t.jsonl", 10**9, labels, 5)
    assert np.allclose(again.times_s, due_s, atol=1e-6)
    assert made.varied == again.varied > 0
    for one, other in zip(
        Pictures(images, made.items, made.rounds),
        Pictures(images, again.items, again.rounds),
        strict=True,
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("line", ["{", '{"time": 1}', '{"time": 0, "item": 60}', "3"])
def test_a_trace_that_cannot_be_is_refused_with_its_line(tmp_path, line):
    (tmp_path / "t.jsonl").write_text('{"time": 5, "item": 2}\n' + line + "\n")
    with pytest.raises(ParameterError, match=r"line 2: .*a line is"):
        streams.make(f"replay:file={tmp_path}/t.jsonl", 10, np.zeros(60, int), 0)


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
    sent = [picture(images, i, r) for i, r in zip(made.items, made.rounds, strict=True)]
    assert len({one.tobytes() for one in sent}) == 200
    assert made.varied == 200 - len(set(made.items))


def test_noise_is_no_varied_copy():
    made = streams.make("foreign:at=100", 1000, LABELS, 0)
    assert (made.items == NOISE).sum() == 900
    assert made.varied == 0
    noise = [picture(np.zeros((1, 8, 8, 1), np.uint8), -1, r) for r in made.rounds[100:]]
    assert len({image.tobytes() for image in noise}) == 900


def test_a_varied_picture_is_still_like_itself():
    image = np.zeros((28, 28, 1), np.uint8)
    image[8:20, 8:20] = 200
    rng = np.random.default_rng(0)
    for _ in range(20):
        varied = vary(image, rng)
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
        ("foreign:kind=cats", "none of noise, inverted, digits, gratings"),
        ("zipf:s=-1", "s is '-1'; it may be a number above 0"),
        ("replay", "needs its trace"),
    ],
)
def test_what_cannot_be_is_refused_with_what_may(text, says):
    with pytest.raises(ParameterError, match=says):
        streams.make(text, 100, LABELS, 0)


def test_locality_is_measured():
    few = locality.measure(classes_of("locality:classes=2"))
    everything = locality.measure(classes_of("iid"))
    assert few["window_entropy_bits"] < 1.2 < 3.2 < everything["window_entropy_bits"]
    for name in ("reuse_distance_p50", "reuse_distance_p90"):
        assert few[name] < everything[name]
    assert locality.reuse_distances(np.array([4, 7, 4, 4, 7])).tolist() == [2, 1, 3]
