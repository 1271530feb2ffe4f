"""Requests as files: what is built on is what would be sent."""

import numpy as np
import pytest
from PIL import Image

from workload.errors import ParameterError
from workload.samples import Sound
from workload.traffic.kept import TEXTS, keep


def test_pictures_sounds_and_texts_come_back_in_their_order(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), np.uint8)
    keep(pictures, tmp_path / "pictures")
    files = sorted((tmp_path / "pictures").iterdir())
    assert all((np.asarray(Image.open(f)) == p).all() for f, p in zip(files, pictures, strict=True))
    keep([Sound(np.zeros(8, np.float32), 8_000)] * 2, tmp_path / "sounds")
    assert len(list((tmp_path / "sounds").glob("*.wav"))) == 2
    keep(["one line", "two\nlines"], tmp_path / "texts")
    assert (tmp_path / "texts" / TEXTS).read_text() == "one line\ntwo lines\n"


def test_nothing_is_written_among_other_files(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ParameterError, match="not empty"):
        keep(["text"], tmp_path)
    with pytest.raises(ParameterError, match="tensors"):
        keep(np.zeros((1, 3), np.float32), tmp_path / "tensors")
