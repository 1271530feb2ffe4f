"""In which numbers a slice computes, beside what travels between slices."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cache_models.network.engine.interface import DType

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def weights_of(dtype: DType) -> torch.dtype:
    """What weights and activations are kept in."""
    return DTYPES.get(dtype, torch.float32)


@contextmanager
def numerics(dtype: DType) -> Iterator[None]:
    """While a GPU computes in `dtype`. PyTorch, left alone, rounds the factors of convolutions."""
    rounded = dtype == "tfloat32"
    products = torch.backends.cuda.matmul
    before, products.allow_tf32 = products.allow_tf32, rounded
    try:
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled,
            benchmark=torch.backends.cudnn.benchmark,
            deterministic=torch.backends.cudnn.deterministic,
            allow_tf32=rounded,
        ):
            yield
    finally:
        products.allow_tf32 = before
