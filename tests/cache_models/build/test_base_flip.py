"""How often a base DNN changes its own answer is counted, and said where caches promise less."""

import numpy as np
import pytest
import torch
from torch import nn

from cache_models.build.base_flip import Flips, base_flips, describe, told
from cache_models.data.nudges import nudges
from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.cutting import cut
from cache_models.network.description import ModelDescription
from tests import heard, tiny


def flips_of(base, given, folder, **options):
    rows = np.arange(len(given))
    return {f.change: f for f in base_flips(base, cut(base), given, rows, folder, **options)}


class Bright(nn.Module):
    """Whether the mean is above 0.5."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 1, 1)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.stem.weight.fill_(1.0)
            self.stem.bias.zero_()
            self.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
            self.head.bias.copy_(torch.tensor([0.5, -0.5]))

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))


def test_what_is_5_percent_brighter_flips_what_is_nearly_bright(tmp_path):
    preprocessing = tiny.Preprocessing(crop_size=(8, 8), mean=(0.0,), std=(1.0,))
    base = BaseDNN(
        "bright", Bright(), ModelDescription((1, 8, 8), ("dark", "bright"), preprocessing)
    )
    given = np.stack([np.full((8, 8, 1), 60 if i % 4 else 124, np.uint8) for i in range(80)])
    found = flips_of(base, given, tmp_path)
    assert found["5 % brighter"].flips == 20 and found["5 % brighter"].samples == 80
    assert found["moved by half a pixel"].flips == 0
    assert len(found) == 3
    few = flips_of(base, given, tmp_path, most=30)
    assert few["5 % brighter"].samples == 30


def test_pictures_are_nudged_by_as_much_as_is_said():
    picture = np.zeros((6, 6, 3), np.uint8)
    picture[:, 3] = 200
    there = nudges(tiny.tiny()[1], picture[None])
    jpeg, moved, brighter = (change(picture) for change in there.changed.values())
    assert jpeg.shape == picture.shape and jpeg.dtype == np.uint8
    assert moved[0, :, 0].tolist() == [0, 0, 0, 100, 100, 0]
    assert brighter.max() == 210 and brighter.min() == 0


def test_sounds_are_louder_or_later(tmp_path):
    pytest.importorskip("soundfile")
    base = load("tests.heard:pitch")
    given = np.stack([heard.tone(i % 3, heard.RATE)[:800] for i in range(12)])
    found = flips_of(base, given, tmp_path)
    assert list(found) == ["5 % louder", "1 ms later"] and found["5 % louder"].flips == 0
    later = nudges(base.description, given).changed["1 ms later"](given[0])
    assert np.array_equal(later[8:], given[0][:-8]) and not later[:8].any()


def test_texts_are_changed_as_texts(tmp_path):
    pytest.importorskip("tokenizers")
    base = load("tests.heard:weather")
    reader = base.description.reader
    given = np.stack([reader.read(text) for text in ("some rain", "snow and snow", "sun", "fog")])
    assert reader.text(given[1]) == "snow and snow"
    found = flips_of(base, given, tmp_path)
    assert {flips.samples for flips in found.values()} <= {3, 4}
    assert set(found) == {"in the other case at its first letter", "ended by a full stop"}


def test_tensors_are_left_alone(tmp_path):
    preprocessed = load("tests.tiny:tiny")
    given = preprocessed.inputs(tiny.images(4)).numpy()
    assert flips_of(preprocessed, given, tmp_path) == {}
    with pytest.raises(DataError, match="tensors"):
        describe([])


def test_a_promise_of_less_is_called_one_that_cannot_be_kept():
    found = [Flips("5 % brighter", 2, 200), Flips("moved", 8, 200)]
    said = told(found, 0.02)
    assert "its own answer to 4.0% of 200 samples (95 % interval 1.7% to 7.7%)" in said
    assert "moved, so 2.00% cannot be promised" in said
    assert told(found, 0.05) is None and told([], 0.01) is None
    assert describe(found).count("\n") == 1
