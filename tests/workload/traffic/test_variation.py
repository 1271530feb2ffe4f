"""Pictures that are sent again are varied, and foreign ones never alike."""

import numpy as np
import pytest

from workload.traffic import streams
from workload.traffic.copies import vary
from workload.traffic.variation import Sent, sample, wear


@pytest.mark.parametrize("kind", ["noise", "inverted", "digits", "gratings"])
def test_foreign_images_are_of_the_datas_shape_and_never_alike(kind):
    images = np.random.default_rng(0).integers(0, 256, (90, 14, 12, 3), np.uint8)
    made = streams.make(f"foreign:classes=3,at=10,kind={kind}", 150, np.arange(90) % 3, 0)
    sent = Sent(images, made.items, made.rounds)
    assert {one.shape for one in sent} == {(14, 12, 3)}
    assert len({one.tobytes() for one in sent}) == 150
    assert made.varied == (50 if kind == "inverted" else 0)  # 140 negatives of 90 images


def test_no_picture_is_sent_twice():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    labels = np.arange(60) % 3
    made = streams.make("iid", 200, labels, 0)
    sent = [sample(images, i, r) for i, r in zip(made.items, made.rounds, strict=True)]
    assert len({one.tobytes() for one in sent}) == 200
    assert made.varied == 200 - len(set(made.items))


def test_a_varied_picture_is_still_like_itself():
    image = np.zeros((28, 28, 1), np.uint8)
    image[8:20, 8:20] = 200
    rng = np.random.default_rng(0)
    for _ in range(20):
        varied = vary(image, rng)
        assert varied.shape == image.shape and varied.dtype == np.uint8
        assert np.corrcoef(varied.ravel(), image.ravel())[0, 1] > 0.7


@pytest.mark.parametrize("channels", [1, 3])
def test_a_worn_picture_is_as_dark_blurred_and_turned_as_asked(channels):
    image = np.zeros((28, 28, channels), np.uint8)
    image[13:15, 4:24] = 200  # a bar along the row
    assert np.array_equal(wear(image, 1, 0, 0), image)
    assert np.array_equal(wear(image, 0.5, 0, 0), image // 2)
    upright = wear(image, 1, 0, 90)
    assert np.array_equal(upright, np.rot90(image))
    blurred = wear(image, 1, 0.1, 0).astype(int)
    assert blurred.shape == image.shape and 10 < blurred[10, 14, 0] < blurred[14, 14, 0] < 100
    assert abs(float(blurred.sum()) / image.sum() - 1) < 0.05


def test_the_pictures_of_a_drift_differ_more_and_more_from_what_they_are_of():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    made = streams.make("drift:over=30", 60, np.zeros(60, int), 0)
    far = [
        np.abs(sent.astype(float) - images[item]).mean()
        for sent, item in zip(made.samples(images), made.items, strict=True)
    ]
    assert far[0] == 0 and np.mean(far[1:10]) < np.mean(far[11:20]) < np.mean(far[30:])
    some = made.samples(images, np.array([5, 40]))
    assert np.array_equal(some[1], made.samples(images)[40])
