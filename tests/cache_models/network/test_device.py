"""A device is found out, and refused, without PyTorch where there is no GPU."""

import subprocess
import sys

import pytest

from cache_models.errors import CacheModelsError
from cache_models.network import device
from cache_models.network.device import resolve


@pytest.fixture(params=[0, 2])
def gpus(request, monkeypatch):
    monkeypatch.setattr(device, "_visible_gpus", lambda: request.param)
    monkeypatch.setattr(device, "_pytorch_has_cuda", lambda: True)
    return request.param


def test_auto_prefers_cuda(gpus, monkeypatch):
    assert resolve("auto") == ("cuda" if gpus else "cpu")
    monkeypatch.setattr(device, "_pytorch_has_cuda", lambda: False)
    assert resolve("auto") == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "cuda:2"])
def test_a_device_that_is_not_there_is_refused(gpus, name):
    if int(name[5:] or 0) < gpus:
        assert resolve(name) == name
    else:
        with pytest.raises(CacheModelsError, match=f"sees {gpus} CUDA devices"):
            resolve(name)


def test_whoever_sees_no_gpu_does_not_load_pytorch_to_know():
    code = (
        "import sys; from cache_models.network.device import resolve; "
        "sys.exit(resolve('auto') != 'cpu' or 'torch' in sys.modules)"
    )
    environment = {"CUDA_VISIBLE_DEVICES": "", "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment)
