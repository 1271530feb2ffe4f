"""Recorded features, read a part at a time, so that memory is bounded."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

READ_BATCH = 64
"""What a convolution makes of more at once is larger than the processor's caches, and had from the
operating system anew each time: with 500 a round of retraining took half as long again."""


def rows_in_batches(features: np.ndarray, rows: np.ndarray) -> Iterator[Tensor]:
    """Some samples of recorded features, in order, a part at a time, so that memory is bounded."""
    for start in range(0, len(rows), READ_BATCH):
        yield torch.from_numpy(features[rows[start : start + READ_BATCH]])


def is_constant(features: np.ndarray) -> bool:
    """Whether all recorded samples have the same features."""
    return all(
        bool((batch == torch.from_numpy(features[:1])).all())
        for batch in rows_in_batches(features, np.arange(len(features)))
    )


def standardisation(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean of each value over `(B, ...)` float32 batches, and the inverse of its deviation.

    A value that hardly varies is not blown up: a hundredth of the mean deviation is added.
    """
    count, total, squares = 0, 0.0, 0.0
    for batch in batches:
        count += len(batch)
        total = total + batch.double().sum(0)
        squares = squares + batch.double().square().sum(0)
    mean = total / count
    variance = (squares / count - mean**2).clamp(min=0)
    return mean.float(), (1 / (variance.sqrt() + 1e-2 * variance.mean().sqrt() + 1e-6)).float()
