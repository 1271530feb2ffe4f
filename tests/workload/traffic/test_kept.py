"""Requests as files: what is built on is what would be sent."""

import json

import numpy as np
import pytest
from PIL import Image

from cache_models.data.samples import open_samples
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from cache_models.network.waveform import Waveform
from workload.errors import ParameterError
from workload.samples import Sound
from workload.traffic.kept import LISTED, TEXTS, keep

KEYS = np.array(["anna", "ben", "anna"], object)
DUE_S = np.array([0.0, 0.5, 0.75])


def test_pictures_sounds_and_texts_come_back_in_their_order(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), np.uint8)
    keep(pictures, tmp_path / "pictures")
    files = sorted((tmp_path / "pictures").glob("*.png"))
    assert all((np.asarray(Image.open(f)) == p).all() for f, p in zip(files, pictures, strict=True))
    listed = (tmp_path / "pictures" / LISTED).read_text().splitlines()
    assert [json.loads(line) for line in listed] == [{"file": file.name} for file in files]
    keep([Sound(np.zeros(8, np.float32), 8_000)] * 2, tmp_path / "sounds")
    assert len(list((tmp_path / "sounds").glob("*.wav"))) == 2
    keep(["one line", "two\nlines"], tmp_path / "texts")
    assert (tmp_path / "texts" / TEXTS).read_text() == "one line\ntwo lines\n"


@pytest.mark.parametrize("kind", ["pictures", "sounds"])
def test_a_build_knows_whose_requests_were_that_had_keys(tmp_path, kind):
    description, samples = {
        "pictures": (
            ModelDescription((1, 4, 4), ("a", "b"), Preprocessing((4, 4), mean=(0,), std=(1,))),
            np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1),
        ),
        "sounds": (
            ModelDescription((80,), ("a", "b"), reader=Waveform(8_000, 80)),
            [Sound(np.full(80, i / 10, np.float32), 8_000) for i in range(3)],
        ),
    }[kind]
    keep(samples, tmp_path / "kept", KEYS, DUE_S)
    read = open_samples(str(tmp_path / "kept" / LISTED), description, tmp_path / "work")
    assert (np.diff(read.images.reshape(3, -1)[:, 0]) > 0).all(), "in their order"
    assert read.streams is not None
    assert read.streams.keys.tolist() == [0, 1, 0]
    assert read.streams.at.tolist() == DUE_S.tolist()


def test_texts_with_keys_say_whose_they_are(tmp_path):
    keep(["yes", "no", "yes"], tmp_path / "kept", KEYS, DUE_S)
    rows = [json.loads(line) for line in (tmp_path / "kept" / LISTED).read_text().splitlines()]
    assert rows[1] == {"text": "no", "stream": "ben", "at": 0.5}


def test_a_request_of_nobody_is_of_no_stream(tmp_path):
    keep(["yes", "no"], tmp_path / "kept", np.array(["anna", ""], object), DUE_S[:2])
    rows = [json.loads(line) for line in (tmp_path / "kept" / LISTED).read_text().splitlines()]
    assert "stream" in rows[0] and "stream" not in rows[1]


def test_nothing_is_written_among_other_files(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ParameterError, match="not empty"):
        keep(["text"], tmp_path)
    with pytest.raises(ParameterError, match="tensors"):
        keep(np.zeros((1, 3), np.float32), tmp_path / "tensors")
