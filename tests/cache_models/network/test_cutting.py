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


def test_what_has_travelled_gives_the_whole_modules_output_too():
    """A message holds numbers in the order of dimensions; a ConvNeXt's lie channels last."""
    base = load("torchvision:convnext_tiny?num_classes=7")
    model = cut(base)
    inputs = base.examples(2)
    with torch.inference_mode():
        whole = base.module(inputs)
        for part in model.slices([point.name for point in model.cut_points]):
            inputs = part(torch.from_numpy(inputs.numpy().copy(order="C")))
    assert torch.equal(inputs, whole)


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


class Biased(nn.Module):
    """Adds to two layers what is made in place, of constants; and, if so, changed between them."""

    def __init__(self, changed: bool):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self._changed = changed

    def forward(self, x):
        bias = torch.zeros(x.size(0), x.size(1), 1)
        bias += torch.arange(x.size(1)).float()[:, None]
        x = self.first(x) + bias
        if self._changed:
            bias += 1
        return self.head((self.second(x.relu()) + bias).mean(1))


@pytest.mark.parametrize("changed", [False, True])
def test_what_is_written_in_place_is_made_again_unless_others_read_it_between(changed):
    torch.manual_seed(0)
    module = Biased(changed).eval().requires_grad_(False)
    base = BaseDNN("mine:biased", module, ModelDescription((4, 8), ("a", "b")))
    model = cut(base)
    names = [point.name for point in model.cut_points]
    assert ("first" in names) != changed, names  # a place between the two layers
    for rows in (1, 3):
        inputs = base.examples(rows)
        assert torch.equal(run(model.slices(names), inputs), module(inputs))
