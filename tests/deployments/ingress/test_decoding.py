"""Images are decoded faithfully; what cannot be is refused with the right status."""

import io

import numpy as np
import pytest
from PIL import Image

from cache_models.network.pixels import as_array
from cache_models.network.preprocessing import Preprocessing
from deployments.ingress import decoding
from deployments.ingress.errors import RequestError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
COLOUR = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
NOISE = np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def decode(data: bytes, channels: int = 3, max_pixels: int = 1000) -> np.ndarray:
    preprocessing = Preprocessing((8, 8), mean=(0.5,) * channels, std=(0.5,) * channels)
    return as_array(decoding.decode(decoding.open_image(data, max_pixels), preprocessing))


def test_grey_stays_one_channel_and_colour_stays_colour():
    assert np.array_equal(decode(encode(Image.fromarray(GREY))), GREY[..., None])
    assert np.array_equal(decode(encode(Image.fromarray(COLOUR))), COLOUR)


def test_colour_becomes_grey_for_a_base_dnn_of_one_channel():
    assert decode(encode(Image.fromarray(COLOUR)), channels=1).shape == (8, 8, 1)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "LA", "1"])
def test_other_modes_become_grey_or_colour(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    pixels = decode(encode(Image.fromarray(COLOUR).convert(mode), kind))
    assert pixels.shape == (8, 8, 1 if mode in ("LA", "1") else 3)


def test_16_bit_grey_keeps_its_upper_8_bits():
    deep = Image.fromarray(GREY.astype(np.uint16) << 8)
    assert np.array_equal(decode(encode(deep)), GREY[..., None])


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"", 422, "empty"),
        (b"hello", 415, "no readable image; it may be PNG, JPEG, .*'image'"),
        (encode(Image.fromarray(GREY), "ICO"), 415, "no readable image; it may be PNG, JPEG"),
        (encode(Image.new("F", (8, 8)), "TIFF"), 415, "mode 'F'; they may be grey"),
        (encode(Image.fromarray(NOISE))[:500], 400, "damaged"),
        (encode(Image.new("L", (100, 100))), 413, "100x100 pixels, more than 1000"),
        (encode(Image.new("L", (65536, 1))), 413, "65536x1 pixels; a side may have at most 65535"),
    ],
)
def test_what_cannot_be_decoded_is_named(data, status, message):
    with pytest.raises(RequestError, match=message) as caught:
        decode(data)
    assert caught.value.status == status


def test_a_gif_whose_frame_has_another_palette_is_refused():
    grey = encode(Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)), "GIF")
    head, palette, rest = grey[:13], grey[13:781], grey[781:]
    at = rest.index(b",") + 10
    frame = rest[: at - 1] + b"\x87" + palette + rest[at:]
    image = decoding.open_image(head + bytes(3) + palette[:-3] + frame, 1_000)
    with pytest.raises(RequestError, match="the GIF image is damaged: its pixels are of the mode"):
        decoding.decode(image, Preprocessing((8, 8)))
