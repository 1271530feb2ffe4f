"""Running the partitions one after the other is running the base DNN."""

import random

import pytest
import torch
from torch import nn

from cache_models.errors import UntraceableModelError
from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.cutting import cut, run
from cache_models.network.description import ModelDescription

ARCHITECTURES = (
    "resnet18",
    "resnet50",
    "vgg16_bn",
    "densenet121",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_b_16",
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_partitions_give_the_whole_modules_output(architecture):
    base = load(f"torchvision:{architecture}?num_classes=7")
    model = cut(base)
    names = [cut_point.name for cut_point in model.cut_points]
    assert len(names) >= 5
    inputs = torch.randn(
        1, *base.description.input_shape, generator=torch.Generator().manual_seed(0)
    )
    rng = random.Random(architecture)
    random_subset = sorted(rng.sample(names, rng.randint(1, len(names) - 1)), key=names.index)
    with torch.inference_mode():
        whole = base.module(inputs)
        for subset in (names, random_subset):
            slices = model.slices(subset)
            assert len(slices) == len(subset) + 1
            assert torch.equal(run(slices, inputs), whole)


def test_cut_points_have_the_names_and_shapes_that_a_user_knows():
    model = cut(load("torchvision:resnet50"))
    shapes = {cut_point.name: cut_point.shape for cut_point in model.cut_points}
    assert shapes["layer2.3"] == (512, 28, 28)
    assert list(shapes)[:6] == ["input", "conv1", "bn1", "relu", "maxpool", "layer1.0.add"]
    assert shapes["input"] == (3, 224, 224)
    assert list(shapes)[-3:] == ["layer4.2", "avgpool", "flatten"]


def test_unknown_or_unordered_cut_points_are_refused():
    model = cut(load("torchvision:resnet18"))
    with pytest.raises(KeyError, match="no cut point 'layer9'"):
        model.slices(["layer9"])
    with pytest.raises(ValueError, match="execution order"):
        model.slices(["layer3.0", "layer1.0"])


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x.flatten(1)[:, :2]
        return -x.flatten(1)[:, :2]


def test_untraceable_module_names_the_operation_and_a_remedy():
    base = BaseDNN("mine:branching", Branching(), ModelDescription((3, 4, 4), ("a", "b")))
    with pytest.raises(UntraceableModelError, match=r"if x\.sum\(\) > 0.*torch\.where"):
        cut(base)
