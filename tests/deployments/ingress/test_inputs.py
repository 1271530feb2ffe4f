"""What is large once decoded is read in a worker, however few bytes came, with the same result."""

import asyncio
import io
import json
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cache_models.network.description import ModelDescription
from cache_models.network.pixels import open_picture, pixels
from cache_models.network.preprocessing import Preprocessing
from deployments.config import HttpLimits
from deployments.ingress import inputs
from deployments.ingress.errors import RequestError
from deployments.ingress.inputs import (
    INLINE_IMAGE_BYTES,
    INLINE_PIXELS,
    INLINE_TEXT_BYTES,
    Inputs,
)
from deployments.ingress.multipart import file_in
from deployments.ingress.open_inference import rest
from deployments.ingress.workers import Workers

PREPROCESSING = Preprocessing((160, 160), mean=(0.5,) * 3, std=(0.5,) * 3, resize_size=170)
DESCRIPTION = ModelDescription((3, 160, 160), ("cat", "dog"), PREPROCESSING)
SIDE = int(INLINE_PIXELS**0.5)
RNG = np.random.default_rng(0)


def encoded(image: Image.Image, kind: str = "PNG", **more) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def noise(*shape: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, shape, np.uint8))


@pytest.fixture
def read(monkeypatch):
    """Reads a body; says what came, and whether the loop's own thread did the work."""
    threads = set()

    def watch(module, name):
        original = getattr(module, name)

        def watched(*args):
            threads.add(threading.get_ident())
            return original(*args)

        monkeypatch.setattr(module, name, watched)

    watch(inputs, "decode")
    watch(inputs, "smallest_form")
    watch(inputs, "smallest_form_of_picture")
    watch(rest, "parse")

    def read(ask):
        threads.clear()
        given = asyncio.run(ask(Inputs(DESCRIPTION, HttpLimits(), Workers())))
        return given, threading.get_ident() in threads

    return read


def picture(body: bytes):
    return lambda reader: reader.file({}, body)


def tensor(batch: np.ndarray):
    given = {"name": "image", "shape": batch.shape, "datatype": "UINT8", "data": batch.tolist()}
    body = json.dumps({"inputs": [given]}).encode()

    def read(signature):
        return rest.parse(body, memoryview(b""), signature)

    return body, lambda reader: reader.tensor(read, len(body))


def test_a_small_picture_is_decoded_at_once(read):
    image = noise(SIDE, SIDE, 3)
    given, on_the_loop = read(picture(encoded(image)))
    assert on_the_loop
    assert not given.resized
    assert np.array_equal(given.batch, np.asarray(image)[None])


def test_49_megapixels_of_one_colour_are_not_decoded_on_the_loop(read):
    body = encoded(Image.new("L", (7000, 7000), 30), compress_level=1)
    assert len(body) < 500_000
    given, on_the_loop = read(picture(body))
    assert not on_the_loop
    assert given.resized
    assert np.array_equal(given.batch, np.full((1, 160, 160, 1), 30))


def test_a_tiny_body_of_many_scans_is_not_read_on_the_loop(read):
    body = encoded(noise(8, 8, 3), "JPEG", progressive=True)
    assert len(body) < 10_000
    assert not read(picture(body))[1]


def test_what_would_expand_with_a_header_is_never_expanded(read):
    text = PngImagePlugin.PngInfo()
    for i in range(50):
        text.add_text(f"note {i}", " " * 900_000, zip=True)
    image = noise(8, 8, 3)
    body = encoded(image, pnginfo=text)
    assert len(body) < INLINE_IMAGE_BYTES
    tracemalloc.start()
    given, _ = read(picture(body))
    assert tracemalloc.get_traced_memory()[1] < 900_000
    tracemalloc.stop()
    assert np.array_equal(given.batch[0], np.asarray(image))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("shape", [(SIDE, SIDE + 1, 3), (300, 400, 3), (300, 400)])
def test_a_large_picture_is_read_in_a_worker_and_looks_the_same(read, kind, shape):
    body = encoded(noise(*shape), kind)
    given, on_the_loop = read(picture(body))
    assert not on_the_loop
    expected = pixels(open_picture(body), 3)[None]
    if given.resized:
        expected = PREPROCESSING.resize(expected)
    assert given.resized == (shape[0] > 160)
    assert np.array_equal(given.batch, expected)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_large_webp_is_decoded_in_another_process_and_looks_the_same(read, monkeypatch, mode):
    image = noise(200, 300, 4).convert(mode)
    body = encoded(image, "WEBP", lossless=True)
    here, _ = read(picture(body))
    monkeypatch.setattr(inputs, "HOLDING_PIXELS", 200 * 300 - 1)
    monkeypatch.delattr(inputs, "decode")
    form = {"content-type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    parsed = []
    monkeypatch.setattr(inputs, "file_in", lambda *args: parsed.append(1) or file_in(*args))
    for headers, sent in (({}, body), (form, head + body + b"\r\n--b--\r\n")):
        given, _ = read(lambda reader, h=headers, s=sent: reader.file(h, s))
        assert parsed.pop() and not parsed  # once
        assert given.resized
        assert np.array_equal(given.batch, here.batch)
    with pytest.raises(RequestError, match="the image is damaged: ") as caught:
        read(picture(body[:60] + bytes(len(body) - 60)))
    assert caught.value.status == 400


def test_small_tensors_are_read_at_once_and_larger_ones_in_a_worker(read):
    small = RNG.integers(0, 256, (1, 28, 28, 1), np.uint8)
    large = RNG.integers(0, 256, (20, 28, 28, 1), np.uint8)
    for batch in (small, large):
        body, ask = tensor(batch)
        (_, given), on_the_loop = read(ask)
        assert on_the_loop == (len(body) <= INLINE_TEXT_BYTES)
        assert np.array_equal(given.batch, batch)
        assert not given.resized


def test_images_in_tensors_are_resized_in_a_worker(read):
    batch = RNG.integers(0, 256, (2, 200, 170, 3), np.uint8)
    (_, given), on_the_loop = read(tensor(batch)[1])
    assert not on_the_loop
    assert given.resized
    assert np.array_equal(given.batch, PREPROCESSING.resize(batch))
