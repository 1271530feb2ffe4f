"""Everything that crosses from one deployment to another.

Router, partitions and lookups know `deployments.messages` and `Remote.call`; how they travel is
decided here alone.
"""

import numpy as np
import torch
from ray.exceptions import RayActorError
from ray.serve.exceptions import ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

INLINE_BYTES = 2_000_000
"""Larger messages go by reference through the object store; inline is 4 MiB at most."""


class Remote:
    """One deployment, as the router sees it."""

    def __init__(self, handle: DeploymentHandle):
        self._handle = handle
        self._inline = handle.options(
            _by_reference=False, request_serialization="pickle", response_serialization="pickle"
        )
        self._by_reference = handle.options(_by_reference=True)

    async def broadcast(self, method: str, *args) -> list:
        """Call `method` on every replica that is known now; all results, or the first error."""
        return await self._handle.broadcast(method, *args).results_async(timeout_s=10)

    async def call(self, method: str, *args, expected_bytes: int = 0):
        """Call `method` on one replica; again on another if that one dies, since no method here
        changes anything.

        Args:
            expected_bytes: of the larger of request and response.
        """
        handle = self._inline if expected_bytes <= INLINE_BYTES else self._by_reference
        try:
            return await getattr(handle, method).remote(*args)
        except (RayActorError, ReplicaUnavailableError):
            return await getattr(handle, method).remote(*args)


def pack(activation: torch.Tensor, dtype: torch.dtype) -> np.ndarray:
    """A tensor as an array of `dtype`; bfloat16, which numpy lacks, as its bits in int16."""
    if dtype == torch.float16:
        limit = torch.finfo(dtype).max
        activation = activation.clamp(-limit, limit)
    packed = activation.to(dtype).contiguous().cpu()
    return (packed.view(torch.int16) if dtype == torch.bfloat16 else packed).numpy()


def unpack(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The float32 tensor on `device` that `pack` made `array` from; always a copy, since what
    travelled may be read-only and layers may work in place."""
    tensor = torch.tensor(array, device=device)
    if tensor.dtype == torch.int16:
        tensor = tensor.view(torch.bfloat16)
    return tensor.float()
