"""Small requests do not wait for large ones."""

import io
import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from cache_models.zoo.fashion import sample
from workload.client.protocols import png

SIDE = 7000
"""49 megapixels."""
LONGEST_S = 0.3


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(sample()[0][0][..., 0]).resize((SIDE, SIDE))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_no_small_request_waits_for_49_megapixels(shipped, picture, kind):
    large, small = encoded(picture.convert("RGB"), kind), png(sample()[0][0])
    answers, waits_s = [], []

    def ask():
        answers.append(httpx.post(f"{shipped}/predict", content=large, timeout=120))

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
    (answer,) = answers
    assert answer.status_code == 200, answer.text
    assert answer.json()["label"] == label
    assert len(waits_s) > 5  # so that some were on the way meanwhile
    print(f"{kind}: {len(waits_s)} small ones, longest {max(waits_s):.3f} s")
    assert max(waits_s) <= LONGEST_S, np.round(sorted(waits_s)[-5:], 3)
