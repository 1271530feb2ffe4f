"""Weights are found in whatever they were saved in, or one line says what to do."""

import argparse
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cache_models.errors import ModelReferenceError
from cache_models.network.loading.weights import load_into, load_weights


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    net = Net()
    net.features[1].running_mean.normal_()
    return dict(net.state_dict())


def loads(file, state, **options) -> bool:
    net = Net()
    load_into(net, file, **options)
    return all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def under(prefix: str, state) -> dict:
    return {f"{prefix}{name}": value for name, value in state.items()}


CHECKPOINTS = {
    "a state dict": lambda s: s,
    "DataParallel": lambda s: under("module.", s),
    "torch.compile": lambda s: under("_orig_mod.", s),
    "both": lambda s: under("_orig_mod.module.", s),
    "DataParallel around a part": lambda s: {n.replace("features.", "features.module."): v
                                             for n, v in s.items()},
    "Lightning": lambda s: {"state_dict": under("model.", s) | {"loss.weight": torch.ones(2)},
                            "epoch": 3, "optimizer_states": [{"state": {0: torch.ones(1)}}]},
    "torchvision's training": lambda s: {"model": s, "optimizer": {"state": {}}, "epoch": 1,
                                         "args": argparse.Namespace(lr=0.1)},
    "PyTorch's ImageNet example": lambda s: {"state_dict": under("module.", s), "arch": "net",
                                             "best_acc1": torch.tensor(0.9)},
    "backbone": lambda s: {"model_state_dict": under("backbone.", s)},
    "deep inside": lambda s: {"ema": {"net": {"weights": s}}},
    "half precision": lambda s: {n: v.half() if v.is_floating_point() else v
                                 for n, v in s.items()},
    "bfloat16": lambda s: {n: v.bfloat16() if v.is_floating_point() else v for n, v in s.items()},
    "batch norms of old": lambda s: {n: v for n, v in s.items() if "num_batches" not in n},
    "parameters": lambda s: {n: nn.Parameter(v) if v.is_floating_point() else v
                             for n, v in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_weights_are_loaded_where_the_meaning_is_plain(kind, form, state, tmp_path):
    precision = {"half precision": torch.half, "bfloat16": torch.bfloat16}.get(kind, torch.float)
    expected = {n: v.to(precision).float() if v.is_floating_point() else v
                for n, v in state.items()}  # fmt: skip
    torch.save(
        CHECKPOINTS[kind](state),
        tmp_path / "file.pth",
        _use_new_zipfile_serialization=form == "zip",
    )
    assert loads(tmp_path / "file.pth", expected)


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_safetensors_are_loaded_likewise(prefix, state, tmp_path):
    save_file(under(prefix, state), tmp_path / "file.safetensors")
    assert loads(tmp_path / "file.safetensors", state)
    assert load_weights(tmp_path / "file.safetensors").keys() == under(prefix, state).keys()


def test_tensors_of_a_gpu_are_loaded_where_there_is_none(state, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:1")
    torch.save({"model": state}, tmp_path / "file.pth")
    monkeypatch.undo()
    assert loads(tmp_path / "file.pth", state)


def test_of_two_that_fit_one_has_to_be_named(state, tmp_path):
    averaged = {name: value + 1 for name, value in state.items()}
    torch.save({"model": state, "model_ema": averaged}, tmp_path / "file.pth")
    with pytest.raises(ModelReferenceError, match=r"that fit: model, model_ema. Name one: key"):
        load_into(Net(), tmp_path / "file.pth")
    assert loads(tmp_path / "file.pth", averaged, key="model_ema")
    with pytest.raises(ModelReferenceError, match="no state dict 'teacher', but model, model_ema"):
        load_into(Net(), tmp_path / "file.pth", key="teacher")


def test_of_two_in_one_state_dict_none_is_chosen(state, tmp_path):
    torch.save(under("student.", state) | under("teacher.", state), tmp_path / "file.pth")
    with pytest.raises(ModelReferenceError, match=r"under 'student\.', 'teacher\.'"):
        load_into(Net(), tmp_path / "file.pth")
    torch.save(state | under("ema.", state), tmp_path / "file.pth")
    with pytest.raises(ModelReferenceError, match=r"under '', 'ema\.'"):
        load_into(Net(), tmp_path / "file.pth")


def test_what_does_not_fit_is_named_in_few_words(tmp_path):
    torch.save({f"layer{i}.weight": torch.ones(1) for i in range(1000)}, tmp_path / "file.pth")
    with pytest.raises(
        ModelReferenceError, match=r"missing: features\.0\.weight, .* and 5 more"
    ) as e:
        load_into(Net(), tmp_path / "file.pth")
    assert "too many: layer0.weight, layer1.weight, layer2.weight and 997 more" in str(e.value)
    assert len(str(e.value)) < 500


def test_a_head_of_other_classes_is_named_with_the_fix(state, tmp_path):
    state |= {"head.weight": torch.ones(7, 4), "head.bias": torch.ones(7)}
    torch.save(under("module.", state), tmp_path / "file.pth")
    with pytest.raises(ModelReferenceError, match=r"head.weight is \(7, 4\), not \(2, 4\).*es=7\?"):
        load_into(Net(), tmp_path / "file.pth")


def whole(file):
    torch.save(Net(), file)


def scripted(file):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), file)


UNUSABLE = {
    "a pickled module": (whole, r"holds more than tensors .*weights_only.*save_file\(model.state"),
    "TorchScript": (scripted, r"TorchScript program.*torch\.jit\.load\(path\)\.state_dict\(\)"),
    "one tensor": (lambda f: torch.save(torch.ones(3), f), "no state dict .but a Tensor"),
    "settings": (lambda f: torch.save({"lr": 0.1}, f), "no state dict .its keys: lr"),
    "nothing": (lambda f: f.write_bytes(b""), "cannot be read as safetensors or as a torch.save"),
    "HTML": (lambda f: f.write_text("<!DOCTYPE html>" * 99), "cannot be read as safetensors"),
    "Git LFS": (
        lambda f: f.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "git lfs pull",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # TorchScript's
@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_used_gets_a_line_that_says_what_to_do(kind, tmp_path):
    write, message = UNUSABLE[kind]
    write(tmp_path / "file.pth")
    with pytest.raises(ModelReferenceError, match=message) as caught:
        load_into(Net(), tmp_path / "file.pth")
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_damaged_safetensors_are_named(tmp_path):
    (tmp_path / "file.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelReferenceError, match="cannot be read as safetensors"):
        load_into(Net(), tmp_path / "file.safetensors")


MEMORY = """
import resource, sys, torch
from pathlib import Path
from torch import nn
from cache_models.network.loading.weights import load_into
module = nn.Sequential(*(nn.Linear(2000, 2000) for _ in range(16)))
module(torch.ones(1, 2000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_into(module, Path(sys.argv[1]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_large_model_is_never_in_memory_twice(suffix, tmp_path):
    large = nn.Sequential(*(nn.Linear(2000, 2000) for _ in range(16))).state_dict()
    size = sum(value.nbytes for value in large.values())
    file = tmp_path / f"large{suffix}"
    save_file(large, file) if suffix == ".safetensors" else torch.save(large, file)
    del large
    more = subprocess.run(
        [sys.executable, "-c", MEMORY, str(file)], capture_output=True, text=True, check=True
    )
    assert int(more.stdout) < size / 2
