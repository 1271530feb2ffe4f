"""Copies are near what they are of, each in its own way."""

import numpy as np
import pytest

from workload.errors import ParameterError
from workload.samples import Sound
from workload.traffic.copies import KINDS, vary

RNG = np.random.default_rng(0)


@pytest.fixture
def image():
    ramp = np.linspace(0, 255, 48).astype(np.uint8)
    return np.stack([np.tile(ramp, (40, 1)), np.tile(ramp[::-1], (40, 1)), np.full((40, 48), 9)], 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_a_picture_are_pictures(image, kind, channels):
    image = image[..., :channels].astype(np.uint8)
    for _ in range(10):
        copy = vary(image, RNG, kind)
        assert copy.dtype == np.uint8 and copy.shape[2] == channels
    assert np.array_equal(copy, image) == (kind == "same")


def test_each_kind_does_what_it_says(image):
    image = image.astype(np.uint8)
    assert np.abs(vary(image, RNG, "jpeg").astype(int) - image).max() < 40
    height, width = vary(image, RNG, "crop").shape[:2]
    assert 2 <= 40 - height <= 6 and 2 <= 48 - width <= 6
    height, width = vary(image, RNG, "resize").shape[:2]
    assert height / width == pytest.approx(40 / 48, abs=0.05)
    assert vary(image[:2, :2], RNG, "crop").size


def test_a_sound_is_louder_or_softer_and_elsewhere():
    wave = np.zeros(8_000, np.float32)
    wave[4_000] = 0.5
    for _ in range(20):
        copy = vary(Sound(wave, 8_000), RNG, "upload")
        assert copy.rate == 8_000 and copy.wave.shape == wave.shape
        assert abs(int(copy.wave.argmax()) - 4_000) <= 160
        assert 0.35 < copy.wave.max() < 0.71


def test_texts_come_as_they_were_and_what_has_no_such_copies_is_refused():
    assert vary("a text", RNG, "upload") == "a text"
    tensor = np.zeros(4, np.float32)
    assert vary(tensor, RNG, "same") is tensor
    with pytest.raises(ParameterError, match="a tensor has no copies"):
        vary(tensor, RNG)
    with pytest.raises(ParameterError, match="a sound has no copies of the kind 'jpeg'"):
        vary(Sound(tensor, 8_000), RNG, "jpeg")
