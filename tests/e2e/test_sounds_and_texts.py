"""Models of sounds and of texts are built and served, and asked as people would."""

import io

import httpx
import pytest
import torch

from tests.e2e.conftest import cold_application
from tests.heard import TONES, WEATHERS, sentences, tone

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("tokenizers")


def test_a_sound_is_heard(server, tmp_path):
    with server.application(cold_application("tests.heard:pitch", tmp_path)) as url:
        for i, name in enumerate(TONES):
            for kind in ("WAV", "FLAC"):
                out = io.BytesIO()
                soundfile.write(out, tone(i), 44_100, format=kind)
                answer = httpx.post(f"{url}/predict", content=out.getvalue(), timeout=60)
                assert answer.json()["label"] == name, answer.text


def test_a_text_is_read(server, tmp_path):
    with server.application(cold_application("tests.heard:weather", tmp_path)) as url:
        for text, name in zip(("some rain", "snow and snow", "sun"), WEATHERS, strict=True):
            answer = httpx.post(f"{url}/predict", json={"text": text}, timeout=60)
            assert answer.json()["label"] == name, answer.text


def test_a_sentence_is_classified_by_the_example_s_network(server, tmp_path):
    module, description = sentences()
    texts = ("some rain", "snow and snow", "sun", "rain and some snow and some sun and more")
    inputs = torch.stack([torch.from_numpy(description.reader.read(text)) for text in texts])
    with torch.inference_mode():
        expected = module.eval()(*inputs.long().unbind(1)).softmax(1)
    with server.application(cold_application("tests.heard:sentences", tmp_path)) as url:
        for text, probabilities in zip(texts, expected, strict=True):
            answer = httpx.post(f"{url}/predict", json={"text": text}, timeout=60).json()
            assert answer["class_id"] == int(probabilities.argmax()), answer
