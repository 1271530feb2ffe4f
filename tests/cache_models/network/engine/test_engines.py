"""Every engine computes what the module does, for batches of any size."""

import copy
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cache_models.errors import EngineError, ExportError
from cache_models.network.base_dnn import BaseDNN, load
from cache_models.network.cutting import cut
from cache_models.network.description import ModelDescription
from cache_models.network.engine.making import engine
from cache_models.network.engine.onnx_runtime import OnnxRuntime
from cache_models.network.engine.pytorch import PyTorch, copied
from cache_models.network.preprocessing import Preprocessing
from cache_models.network.slice_engines import slice_engines


def agree(got: np.ndarray, expected: torch.Tensor) -> None:
    assert np.abs(got - expected.numpy()).max() <= 1e-5 * expected.abs().max()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def as_a_row(engines, inputs: np.ndarray) -> np.ndarray:
    for one in engines:
        _, inputs = one(inputs)
    return inputs


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small"])
def test_slices_of_any_batch_give_the_whole_modules_output(architecture):
    whole = load(f"torchvision:{architecture}?num_classes=7").module
    for module in whole.modules():  # statistics as training leaves them
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    shape = (3, 64, 64)
    base = BaseDNN("m", whole, ModelDescription(shape, tuple("abcdefg")))
    model = cut(base)
    before = copy.deepcopy(whole.state_dict())
    names = [point.name for point in model.cut_points][10::20]
    engines = slice_engines(base, model, names, threads=1)
    assert all(isinstance(one, OnnxRuntime) for one in engines)
    for rows in (1, 3, 2):
        inputs = noise(rows, *shape)
        with torch.inference_mode():
            agree(as_a_row(engines, inputs), whole(torch.from_numpy(inputs)).softmax(1))
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())


class NormAfterAddition(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return (self.norm(self.conv(x) + x),)


class SharedNorm(NormAfterAddition):
    def forward(self, x):
        return (self.norm(self.conv(self.norm(self.conv(x)))),)


class OverwrittenInPlace(NormAfterAddition):
    def forward(self, x):
        y = x * 2
        z = self.conv(y)
        F.relu(y, inplace=True)
        z += y
        y += self.norm(self.conv(z))
        return (F.relu(z) + y,)


class InputOverwritten(NormAfterAddition):
    def forward(self, x):
        return (self.conv(F.relu(x, inplace=True)),)


@pytest.mark.parametrize("choice", ["onnxruntime", "torch"])
@pytest.mark.parametrize(
    "kind", [NormAfterAddition, SharedNorm, OverwrittenInPlace, InputOverwritten]
)
def test_odd_modules_come_out_right_and_arguments_stay_as_they_were(kind, choice):
    torch.manual_seed(0)
    module = kind()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(module.norm.weight)
    module.eval()
    inputs = noise(3, 4, 6, 6)
    inputs.setflags(write=False)  # as what has travelled
    with torch.inference_mode():
        (expected,) = module(torch.tensor(inputs))
    (got,) = engine(module, [(4, 6, 6)], threads=1, choice=choice)(inputs)
    agree(got, expected)


class Viewed(nn.Module):
    """As tutorials flatten: refused by PyTorch where strides are not those of training."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 6 * 6, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return self.head(x.view(x.size(0), -1))


class Regrouped(Viewed):
    """As attention blocks and shuffles of channels do."""

    def forward(self, x):
        x = self.conv(x)
        x = x.view(x.size(0), 2, 2, 6, 6).transpose(1, 2).contiguous().view(x.size(0), 4, 36)
        return self.head((x.permute(0, 2, 1) @ x).permute(0, 2, 1)[:, :4].reshape(x.size(0), -1))


class Strided(Viewed):
    def forward(self, x):
        x = self.norm(self.conv(x))
        return self.head(x.as_strided((x.size(0), 144), (144, 1)))


@pytest.mark.parametrize("choice", ["torch", "onnxruntime"])
@pytest.mark.parametrize("kind", [Viewed, Regrouped, Strided])
def test_what_asks_for_contiguous_memory_gets_it(kind, choice):
    torch.manual_seed(0)
    description = ModelDescription((3, 8, 8), tuple("abcde"), Preprocessing((8, 8)))
    base = BaseDNN("m", kind().eval(), description)
    model = cut(base)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    channels_last = description.inputs(pictures).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = base.module(base.inputs(pictures)).softmax(1)
    names = [point.name for point in model.cut_points if point.name != "input"]
    engines = slice_engines(base, model, names, threads=1, choice=choice)
    got = as_a_row(engines, channels_last)
    if choice == "torch":
        assert np.array_equal(got, expected)
    else:
        agree(got, expected)


def test_on_another_device_a_copy_of_the_module_shares_nothing_with_it():
    module = Viewed().eval()
    there = copied(module, torch.device("meta"))
    assert all(value.is_meta for value in there.state_dict().values())
    assert not any(value.is_meta for value in module.state_dict().values())


class Refused(nn.Module):
    def forward(self, x):
        return (torch.special.i0e(x),)  # ONNX has no such operation


def test_what_has_no_graph_runs_in_pytorch_and_the_log_says_why(caplog):
    made = engine(Refused(), [(3,)], threads=1)
    assert isinstance(made, PyTorch)
    assert "runs in PyTorch: PyTorch cannot export" in caplog.text and "i0e" in caplog.text
    agree(made(np.ones((1, 3), np.float32))[0], torch.special.i0e(torch.ones(1, 3)))
    with pytest.raises(ExportError, match="cannot export it to ONNX"):
        engine(Refused(), [(3,)], threads=1, choice="onnxruntime")


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_slices_of_any_batch_give_the_whole_modules_output():
    base = load("tests.tiny:tiniest")
    engines = slice_engines(base, cut(base), ["stem"], threads=1, choice="compile")
    for rows in (1, 3, 2):
        inputs = noise(rows, 1, 16, 16)
        with torch.inference_mode():
            expected = base.module(torch.from_numpy(inputs)).softmax(1)
        agree(as_a_row(engines, inputs), expected)


def test_where_nothing_can_be_compiled_the_error_names_the_fix(monkeypatch):
    def no_compiler(*_, **__):
        def call(_):
            raise torch._dynamo.exc.TorchDynamoException("No working C++ compiler found")

        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    made = engine(Refused(), [(3,)], threads=1, choice="compile")
    with pytest.raises(EngineError, match=r"as g\+\+. Install one, or choose another engine"):
        made(np.ones((1, 3), np.float32))


def test_a_device_that_onnx_runtime_lacks_is_an_error_that_names_the_fix(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineError, match=r"install onnxruntime-gpu, or set `engine: torch`"):
        OnnxRuntime(b"", threads=1, device="cuda:0")


def test_a_file_that_is_no_graph_is_an_error(tmp_path):
    (tmp_path / "graph.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="cannot load the graph"):
        OnnxRuntime(tmp_path / "graph.onnx", threads=1)
