"""An interrupted pretraining goes on to the very weights of one that was not interrupted."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cache_models.zoo import pretrain as module
from cache_models.zoo.pretrain import Stage, pretrain

RECIPE = (Stage(size=32, images=24, batch=8, lr=0.05), Stage(size=48, images=16, batch=8, lr=0.02))


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (40, 28, 28, 1), np.uint8), rng.integers(0, 10, 40)
    monkeypatch.setattr(module, "fashion_mnist", lambda train: data)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path, monkeypatch):
    card = pretrain(tmp_path / "whole.safetensors", recipe=RECIPE)
    assert 0 <= card["test_accuracy"] <= 1

    save, calls = module._save_checkpoint, []
    monkeypatch.setattr(module, "CHECKPOINT_S", 0)

    def save_twice_then_stop(*arguments):
        save(*arguments)
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_save_checkpoint", save_twice_then_stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain(tmp_path / "resumed.safetensors", recipe=RECIPE)
    monkeypatch.setattr(module, "_save_checkpoint", save)
    pretrain(tmp_path / "resumed.safetensors", recipe=RECIPE)

    whole, resumed = (load_file(tmp_path / f"{n}.safetensors") for n in ("whole", "resumed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
