"""Pictures that are sent again are varied, and foreign ones never alike."""

import numpy as np
import pytest

from workload.traffic import streams
from workload.traffic.variation import Pictures, picture, vary


@pytest.mark.parametrize("kind", ["noise", "inverted", "digits", "gratings"])
def test_foreign_images_are_of_the_datas_shape_and_never_alike(kind):
    images = np.random.default_rng(0).integers(0, 256, (90, 14, 12, 3), np.uint8)
    made = streams.make(f"foreign:classes=3,at=10,kind={kind}", 150, np.arange(90) % 3, 0)
    sent = Pictures(images, made.items, made.rounds)
    assert {one.shape for one in sent} == {(14, 12, 3)}
    assert len({one.tobytes() for one in sent}) == 150
    assert made.varied == (50 if kind == "inverted" else 0)  # 140 negatives of 90 images


def test_no_picture_is_sent_twice():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    labels = np.arange(60) % 3
    made = streams.make("iid", 200, labels, 0)
    sent = [picture(images, i, r) for i, r in zip(made.items, made.rounds, strict=True)]
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
