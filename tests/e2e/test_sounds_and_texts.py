"""Models of sounds and of texts are built and served, and asked as people would."""

import io

import httpx
import pytest

from cache_models.build.cold_start import cold_start
from cache_models.network.base_dnn import load
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from tests.heard import TONES, WEATHERS, tone

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("tokenizers")


def application(name, folder):
    store = Store(folder / name)
    cold_start(load(f"tests.heard:{name}"), store, Limits(), HopCost())
    return {
        "name": name,
        "route_prefix": f"/{name}",
        "import_path": "deployments.app:build",
        "args": {
            "name": name,
            "model": f"tests.heard:{name}",
            "store": str(store.folder),
            "retraining": {"rounds": False},
        },
    }


def test_a_sound_is_heard(server, tmp_path):
    with server.application(application("pitch", tmp_path)) as url:
        for i, name in enumerate(TONES):
            for kind in ("WAV", "FLAC"):
                out = io.BytesIO()
                soundfile.write(out, tone(i), 44_100, format=kind)
                answer = httpx.post(f"{url}/predict", content=out.getvalue(), timeout=60)
                assert answer.json()["label"] == name, answer.text


def test_a_text_is_read(server, tmp_path):
    with server.application(application("weather", tmp_path)) as url:
        for text, name in zip(("some rain", "snow and snow", "sun"), WEATHERS, strict=True):
            answer = httpx.post(f"{url}/predict", json={"text": text}, timeout=60)
            assert answer.json()["label"] == name, answer.text
