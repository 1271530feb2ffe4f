"""Images by index, whether they lie in an array, are decoded from files, or are made when asked
for."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Images(Protocol):
    """`(h, w, C)` uint8, or a float32 tensor, by index; an array or a list of them is one, too."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))
