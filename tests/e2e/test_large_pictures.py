"""Small requests do not wait for large ones."""

import io
import threading
import time

import httpx
import pytest
from PIL import Image

from cache_models.zoo.fashion import sample
from workload.client.protocols import png

SIDE = 7000
"""49 megapixels."""
FEWEST_MEANWHILE = 10
LONGEST_SHARE = 0.5
"""Of what the large one takes. Where it holds a router or a replica, the share is 1."""


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(sample()[0][0][..., 0]).resize((SIDE, SIDE))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_no_small_request_waits_for_49_megapixels(shipped, picture, kind):
    large, small = encoded(picture.convert("RGB"), kind), png(sample()[0][0])
    answers, waits_s = [], []

    def ask():
        begin = time.perf_counter()
        answer = httpx.post(f"{shipped}/predict", content=large, timeout=120)
        answers.append((answer, time.perf_counter() - begin))

    with httpx.Client(base_url=shipped, timeout=60) as client:
        for _ in range(50):  # until all that a small one needs is warm
            label = client.post("/predict", content=small).json()["label"]
        thread = threading.Thread(target=ask)
        thread.start()
        while thread.is_alive():
            begin = time.perf_counter()
            assert client.post("/predict", content=small).status_code == 200
            waits_s.append(time.perf_counter() - begin)
        thread.join()
    ((answer, large_s),) = answers
    assert answer.status_code == 200, answer.text
    assert answer.json()["label"] == label
    print(f"{kind}: {len(waits_s)} small ones in {large_s:.1f} s, longest {max(waits_s):.3f} s")
    assert len(waits_s) >= FEWEST_MEANWHILE
    assert max(waits_s) <= LONGEST_SHARE * large_s
