"""The device that a configuration names, found out without PyTorch, which takes seconds to load."""

import ctypes

from cache_models.errors import CacheModelsError


def resolve(name: str) -> str:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device that this process has: `cpu`, `cuda` or
    `cuda:N`. `auto` prefers CUDA, where PyTorch can use it.

    Raises:
        CacheModelsError: the process sees no such device.
    """
    gpus = _visible_gpus()
    if name == "auto":
        return "cuda" if gpus and _pytorch_has_cuda() else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cuda" and int(index or 0) >= gpus:
        raise CacheModelsError(
            f"device {name!r} asked for, but this process sees {gpus} CUDA devices. Give the "
            f"deployment num_gpus in its ray_actor_options, or set device to 'auto' or 'cpu'."
        )
    return name


def _visible_gpus() -> int:
    """As the driver counts them, which heeds CUDA_VISIBLE_DEVICES; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def _pytorch_has_cuda() -> bool:
    import torch  # it may have been installed for CPUs alone

    return torch.cuda.is_available()
