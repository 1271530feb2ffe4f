"""A reference names one base DNN, the same in every process, or a clear error."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cache_models.errors import ModelReferenceError, NotAClassifierError
from cache_models.network.base_dnn import load
from cache_models.network.description import ModelDescription


def test_random_weights_are_the_same_each_time_and_leave_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = load("tests.tiny:tiny"), load("tests.tiny:tiny")
    assert first.fingerprint() == second.fingerprint()
    assert torch.equal(torch.rand(1), expected)


def test_weights_come_from_a_safetensors_file(tmp_path):
    reference = "torchvision:mobilenet_v3_small?num_classes=3"
    state = load(reference).module.state_dict()
    changed = {name: value + 1 if value.is_floating_point() else value
               for name, value in state.items()}  # fmt: skip
    save_file(changed, tmp_path / "mine.safetensors")
    loaded = load(f"{reference}&weights={tmp_path / 'mine.safetensors'}").module.state_dict()
    assert all(torch.equal(loaded[name], changed[name]) for name in changed)


def test_pickled_objects_are_not_loaded(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(ModelReferenceError, match="weights_only"):
        load(f"torchvision:resnet18?weights={tmp_path / 'whole.pth'}")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("resnet18", "is not 'default', 'torchvision:"),
        ("torchvision:resnet17", "no classifier 'resnet17'"),
        ("torchvision:resnet18?weights=BEST", "name one of IMAGENET1K_V1"),
        ("torchvision:resnet18?colour=red", "does not take these options"),
        ("torchvision:resnet18?weights=/none.pth", "does not exist"),
        ("nowhere.at.all:model", "cannot be imported"),
        ("tests.tiny:images", "missing 1 required positional argument"),
        ("tests.tiny:Tiny", "must return"),
    ],
)
def test_a_wrong_reference_is_named(reference, message):
    with pytest.raises(ModelReferenceError, match=message):
        load(reference)


def no_scores():
    return nn.Flatten(), ModelDescription((3, 4, 4), ("a", "b"))


def test_a_module_that_does_not_return_class_scores_is_refused(monkeypatch):
    monkeypatch.setattr("tests.tiny.no_scores", no_scores, raising=False)
    with pytest.raises(NotAClassifierError, match=r"\(2, 48\).*not class scores of shape \(2, 2\)"):
        load("tests.tiny:no_scores")


def linear(module: nn.Module):
    return module, ModelDescription((4,), ("a", "b", "c"))


@pytest.mark.parametrize(
    "wrapped", [nn.DataParallel, torch.compile, torch.optim.swa_utils.AveragedModel]
)
def test_what_is_around_a_module_in_training_is_taken_off(wrapped, monkeypatch):
    bare = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)).bfloat16()
    monkeypatch.setattr("tests.tiny.wrapped", lambda: linear(wrapped(bare)), raising=False)
    base = load("tests.tiny:wrapped")
    assert type(base.module) is nn.Sequential
    assert {value.dtype for value in base.module.parameters()} == {torch.float32}


@pytest.mark.filterwarnings("ignore::UserWarning")  # lazy layers' own
@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 3, device="meta"), lambda: nn.LazyLinear(3)])
def test_weights_without_values_are_refused(make, monkeypatch):
    monkeypatch.setattr("tests.tiny.empty", lambda: linear(make()), raising=False)
    with pytest.raises(ModelReferenceError, match="weights without values"):
        load("tests.tiny:empty")
