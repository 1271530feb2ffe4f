"""Published weights by file do what torchvision's own builder does with them."""

import copy
import hashlib
import re
from pathlib import PurePath

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models as zoo
from torchvision.models import WeightsEnum

from cache_models.errors import ModelReferenceError
from cache_models.network.base_dnn import load
from cache_models.network.loading import torchvision_models

PUBLISHED = [
    ("googlenet", "IMAGENET1K_V1"),
    ("inception_v3", "IMAGENET1K_V1"),
    ("densenet121", "IMAGENET1K_V1"),
    ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"),
    ("regnet_y_400mf", "IMAGENET1K_V2"),
    ("efficientnet_b0", "IMAGENET1K_V1"),
    ("mnasnet0_5", "IMAGENET1K_V1"),
]


def state_of(builder: str, preset: WeightsEnum) -> dict[str, torch.Tensor]:
    """Random weights, with the names and shapes of those that are published."""
    torch.manual_seed(3)
    options = {}
    if builder in torchvision_models.WITH_AUXILIARY_HEADS:
        options = {"aux_logits": True, "init_weights": False}
    if builder.startswith("vit"):
        options = {"image_size": preset.meta["min_size"][0]}
    state = zoo.get_model(builder, **options).state_dict()
    if builder.startswith("densenet"):  # published before 2018
        for name in [name for name in state if "num_batches_tracked" in name]:
            del state[name]
        del state._metadata
        for name in [name for name in state if "denselayer" in name]:
            state[re.sub(r"(norm|conv)([12])", r"\1.\2", name)] = state.pop(name)
    return state


def file_name(preset: WeightsEnum) -> str:
    return PurePath(preset.url).name


def torchvisions_own(builder, preset, state, monkeypatch) -> torch.nn.Module:
    with monkeypatch.context() as patch:
        patch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: copy.copy(state))
        return zoo.get_model(builder, weights=preset).eval()


def assert_same(reference: str, expected: torch.nn.Module, preset: WeightsEnum) -> None:
    module, description = torchvision_models.make(reference)
    size = preset.transforms().crop_size[0]
    assert description.input_shape == (3, size, size)
    assert description.preprocessing == torchvision_models.preprocessing_of(preset)
    assert description.classes == tuple(preset.meta["categories"])
    weights, of_expected = module.state_dict(), expected.state_dict()
    assert all(torch.equal(weights[name], of_expected[name]) for name in weights)
    assert all("Aux" in name for name in of_expected.keys() - weights.keys())
    if isinstance(module, zoo.VisionTransformer):  # slow, and all is in its weights
        assert module.image_size == expected.image_size
        return
    inputs = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(module.eval()(inputs), expected(inputs))


@pytest.mark.parametrize(("builder", "preset"), PUBLISHED)
def test_a_published_file_becomes_what_torchvision_makes_of_it(
    builder, preset, tmp_path, monkeypatch
):
    preset = zoo.get_model_weights(builder)[preset]
    state = state_of(builder, preset)
    expected = torchvisions_own(builder, preset, state, monkeypatch)
    torch.save(state, tmp_path / file_name(preset))
    assert_same(f"{builder}?weights={tmp_path}/{file_name(preset)}", expected, preset)
    save_file(dict(state), tmp_path / "mine.safetensors")
    reference = f"{builder}?weights={tmp_path}/mine.safetensors&preset={preset.name}"
    assert_same(reference, expected, preset)


@pytest.mark.parametrize(("builder", "preset"), [PUBLISHED[0], PUBLISHED[2]])
def test_weights_by_name_become_the_same(builder, preset, monkeypatch):
    preset = zoo.get_model_weights(builder)[preset]
    state = state_of(builder, preset)
    expected = torchvisions_own(builder, preset, state, monkeypatch)
    asked = []

    def get_state_dict(self, **options):
        asked.append((self, options))
        return copy.copy(state)

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    assert_same(f"{builder}?weights={preset.name}", expected, preset)
    assert all(which is preset and options["weights_only"] for which, options in asked)


def test_a_published_file_is_known_by_its_content(tmp_path, monkeypatch):
    preset = zoo.GoogLeNet_Weights.IMAGENET1K_V1
    torch.save(state_of("googlenet", preset), tmp_path / "renamed.pth")
    digest = hashlib.sha256((tmp_path / "renamed.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(preset.value, "url", f"https://host/models/googlenet-{digest[:8]}.pth")
    module, _ = torchvision_models.make(f"googlenet?weights={tmp_path / 'renamed.pth'}")
    assert module.transform_input


def test_somebodys_own_weights_must_say_whether_inputs_are_transformed(tmp_path):
    module = zoo.googlenet(num_classes=3, aux_logits=False, init_weights=False)
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    reference = f"torchvision:googlenet?num_classes=3&weights={tmp_path / 'mine.pth'}"
    with pytest.raises(ModelReferenceError, match=r"transform_input=True .*=False.*preset="):
        load(reference)
    assert not load(f"{reference}&transform_input=False").module.transform_input
    tuned = load(f"{reference}&preset=IMAGENET1K_V1")
    assert tuned.module.transform_input and len(tuned.description.classes) == 3


def test_another_size_of_picture_is_asked_for_by_its_option():
    _, description = torchvision_models.make("vit_b_32?image_size=64&num_classes=3")
    assert description.input_shape == (3, 64, 64)
    assert description.preprocessing.resize_size == 73


def test_of_other_classes_the_line_names_the_option(tmp_path):
    torch.save(zoo.resnet18(num_classes=3).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(ModelReferenceError, match=r"fc.weight is \(3, 512\).*num_classes=3\?"):
        load(f"torchvision:resnet18?weights={tmp_path / 'mine.pth'}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("weights=mine.pth&preset=BEST", "no preset 'BEST': name one of IMAGENET1K_V1"),
        ("preset=IMAGENET1K_V1", "name the file too"),
        ("weights=~/none.pth", r"weights file /.*none.pth does not exist"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ModelReferenceError, match=message):
        load(f"torchvision:resnet18?{options}")
