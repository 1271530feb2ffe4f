"""Slices and caches in the form in which they are served agree with what they were made from."""

import copy
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cache_models.cache.fast_cache import FastCache, InputFeatures
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.novelty import fit_gate
from cache_models.cache.predictors import variants_for
from cache_models.errors import CompilationError
from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.cutting import cut, run
from cache_models.network.description import ModelDescription
from cache_models.network.engine import PackedConv2d, fast
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.network.preprocessing import Preprocessing


def agree(got, expected):
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "architecture",
    ["resnet18", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny"],
)
def test_fast_slices_of_any_batch_give_the_whole_modules_output(architecture, caplog):
    whole = load(f"torchvision:{architecture}?num_classes=7").module
    for module in whole.modules():  # statistics as training leaves them
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    shape = (3, 64, 64)
    model = cut(BaseDNN("m", whole, ModelDescription(shape, tuple("abcdefg"))))
    before = copy.deepcopy(whole.state_dict())
    names = [point.name for point in model.cut_points][1::4]
    starts = [None, *names]
    slices = [
        fast(module, model.input_shape_of(start))
        for module, start in zip(model.slices(names), starts, strict=True)
    ]
    assert "not packed" not in caplog.text
    for rows in (1, 3, 2):
        inputs = torch.randn(rows, *shape)
        with torch.inference_mode():
            agree(run(slices, channels_last(inputs)), whole(inputs))
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())


class NormAfterAddition(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x) + x)


class SharedNorm(NormAfterAddition):
    def forward(self, x):
        return self.norm(self.conv(self.norm(self.conv(x))))


class OutputReadTwice(NormAfterAddition):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) * y


class ConvCalledWithAndWithoutNorm(NormAfterAddition):
    def forward(self, x):
        return self.conv(F.relu(self.norm(self.conv(x))))


class OverwrittenInPlace(NormAfterAddition):
    def forward(self, x):
        y = x * 2
        z = self.conv(y)
        F.relu(y, inplace=True)
        z += y
        y += self.norm(self.conv(z))
        return F.relu(z) + y


class BroadcastAddition(NormAfterAddition):
    def forward(self, x):
        return F.relu(self.conv(x) + x.mean((2, 3), keepdim=True))


class NormWithoutConvolution(NormAfterAddition):
    def forward(self, x):
        return self.conv(F.relu(self.norm(x)))


@pytest.mark.parametrize(
    "kind",
    [
        NormAfterAddition,
        SharedNorm,
        OutputReadTwice,
        ConvCalledWithAndWithoutNorm,
        OverwrittenInPlace,
        BroadcastAddition,
        NormWithoutConvolution,
    ],
)
def test_what_cannot_be_folded_is_left_right(kind):
    torch.manual_seed(0)
    module = kind()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(module.norm.weight)
    module.eval()
    made = fast(module, (4, 6, 6))
    inputs = torch.randn(3, 4, 6, 6)
    with torch.inference_mode():
        agree(made(channels_last(inputs.clone())), module(inputs.clone()))


def test_packing_that_does_not_work_here_is_left_out(monkeypatch, caplog):
    def refuse(*_):
        raise RuntimeError("no such operation")

    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    monkeypatch.setattr(PackedConv2d, "forward", refuse)
    made = fast(module, (3, 5, 5))
    inputs = torch.randn(2, 3, 5, 5)
    with torch.inference_mode():
        agree(made(inputs), module(inputs))
    assert "not packed: no such operation" in caplog.text


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_slices_of_any_batch_give_the_whole_modules_output():
    base = load("tests.tiny:tiniest")
    slices = cut(base).fast_slices(["stem"], compiled=True)
    for rows in (1, 3, 2):
        inputs = torch.randn(rows, 1, 16, 16)
        with torch.inference_mode():
            agree(run(slices, channels_last(inputs)), base.module(inputs))


def test_where_nothing_can_be_compiled_the_error_names_the_fix(monkeypatch):
    def no_compiler(*_, **__):
        def call(_):
            raise RuntimeError("No working C++ compiler found")

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(CompilationError, match=r"as g\+\+. Install one, or leave `compile: f"):
        fast(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), (3, 5, 5), compiled=True)


@pytest.mark.parametrize("shape", [(3, 32, 32), (6, 5, 5), (10, 12), (20,)], ids=str)
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("unseen", [False, True])
def test_a_fast_cache_says_what_the_learned_cache_says(shape, classes, unseen):
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (400, *shape)).astype(np.float16)
    labels = rng.integers(0, classes - (unseen and classes > 2), 400)
    probabilities = (np.eye(classes) * 0.8 + 0.2 / classes)[labels].astype(np.float32)
    gate = fit_gate(features, probabilities, np.arange(300), np.arange(300, 400))
    asked = torch.from_numpy(features * rng.uniform(0.5, 2, (400,) + (1,) * len(shape))).half()
    ratio = rng.normal(0, 1, classes)
    for variant in variants_for(shape):
        torch.manual_seed(0)
        cache = LearnedCache(variant, shape, classes, gate).eval()
        cache.predictor.fit_scaling([torch.from_numpy(features)])
        nn.init.normal_(cache.selector.mean)
        made = FastCache(cache)
        for rows in (1, 7, 400):
            for log_ratio in (None, ratio):
                with torch.inference_mode():
                    expected = cache(
                        asked[:rows],
                        None if log_ratio is None else torch.tensor(log_ratio).float(),
                    )
                for got, right in zip(made(asked[:rows], log_ratio), expected, strict=True):
                    np.testing.assert_allclose(got, right.numpy(), atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (70, 50)])
@pytest.mark.parametrize("channels", [1, 3])
def test_features_at_the_input_are_those_of_training(size, channels):
    description = ModelDescription((3, *size), ("a",), Preprocessing(size))
    images = torch.randint(0, 256, (2, channels, 28, 20), dtype=torch.uint8)
    made = InputFeatures(description)
    expected = extract(description.inputs(images))
    got = made(images)
    assert got.dtype == torch.float16
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)
    assert (got != expected).float().mean() < 0.02
    torch.testing.assert_close(
        made(description.preprocessing.resize(images), resized=True), got, rtol=0, atol=0
    )
    inputs = torch.randn(2, 3, *size)
    assert torch.equal(made(inputs), extract(inputs))
