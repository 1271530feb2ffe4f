"""The device that a configuration names."""

import torch

from cache_models.errors import CacheModelsError


def resolve(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device that this process has; auto prefers cuda.

    Raises:
        CacheModelsError: the machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise CacheModelsError(
            f"device {name!r} asked for, but this process sees {torch.cuda.device_count()} CUDA "
            f"devices. Give the deployment num_gpus in its ray_actor_options, or set device to "
            f"'auto' or 'cpu'."
        )
    return device
