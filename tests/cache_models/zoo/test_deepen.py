"""A grown network begins with the answers of the one it grew from, and says how far it has come."""

import copy

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from cache_models.errors import ModelReferenceError
from cache_models.network.base_dnn import load
from cache_models.zoo import deepen as module
from cache_models.zoo import pretrain
from cache_models.zoo.deepen import describe_card, grow, without

RECIPE = (pretrain.Stage(size=32, images=16, batch=8, lr=0.05),)


@pytest.fixture(scope="module")
def shallow():
    torch.manual_seed(0)
    model = resnet18(num_classes=10)
    model(torch.rand(16, 3, 32, 32))  # batch norms that have seen something
    return model.eval()


def test_at_growth_the_answers_are_those_of_the_shallower_network(shallow):
    deep, new_blocks = grow("resnet34", shallow)
    inputs = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(deep.eval()(inputs), shallow(inputs))
    assert len(new_blocks) == 8


def test_new_blocks_that_matter_are_noticed_when_they_are_taken_out(shallow):
    deep, new_blocks = grow("resnet34", shallow)
    inputs = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        for block in new_blocks:
            deep.get_submodule(block).bn2.weight.fill_(1.0)
        deep.eval()
        before = copy.deepcopy(deep.state_dict())
        assert not torch.allclose(deep(inputs), shallow(inputs))
        assert torch.equal(without(deep, new_blocks)(inputs), shallow(inputs))
    assert all(torch.equal(value, before[name]) for name, value in deep.state_dict().items())


def test_what_was_fine_tuned_is_found_by_its_reference(tmp_path, monkeypatch, shallow):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (40, 28, 28, 1), np.uint8), rng.integers(0, 10, 40)
    monkeypatch.setattr(pretrain, "fashion_mnist", lambda train: data)
    monkeypatch.setattr(module, "fashion_mnist", lambda train: data)
    monkeypatch.setattr(module, "default", lambda: (copy.deepcopy(shallow), None))
    monkeypatch.setenv("GATI_HOME", str(tmp_path))
    with pytest.raises(ModelReferenceError, match="pretrain --grow resnet34"):
        load("cache_models.zoo.deepened:resnet34")
    card = module.pretrain("resnet34", tmp_path / "resnet34_fashion.safetensors", recipe=RECIPE)
    assert load("cache_models.zoo.deepened:resnet34").fingerprint()
    assert 0 <= card["changed_without_new_blocks"] <= 1


@pytest.mark.parametrize(("changed", "stand_in"), [(0.049, True), (0.05, False)])
def test_blocks_that_hardly_matter_make_a_latency_stand_in(changed, stand_in):
    card = {
        "test_accuracy": 0.90,
        "resnet18_test_accuracy": 0.91,
        "changed_without_new_blocks": changed,
        "latency_stand_in": module.is_stand_in(changed),
    }
    assert card["latency_stand_in"] is stand_in
    assert ("stand-in" in describe_card(card)) is stand_in
    assert "LESS accurate" in describe_card(card)
