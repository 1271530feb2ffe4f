"""Samples that are read one by one go to a memory-mapped file, so that memory stays bounded."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike
from tqdm import tqdm

from cache_models.errors import DataError


def written(
    rows: Iterable[np.ndarray | str],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    file: Path,
    unit: str,
    total: int | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """The rows in one array `(N, *shape)`, mapped from `file`; and why others are not there, by
    their places.

    Args:
        rows: each of the shape and dtype, or a text that says why there is none.
        unit, total: of what is read, for the progress bar.

    Raises:
        DataError: there is no row at all.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    count, skipped = 0, {}
    with open(file, "wb") as out:
        for place, row in enumerate(tqdm(rows, desc="read", unit=unit, total=total)):
            if isinstance(row, str):
                skipped[place] = row
                continue
            out.write(row.tobytes())
            count += 1
    if not count:
        why = "; ".join(list(skipped.values())[:5])
        raise DataError(f"no {unit} could be read ({why or 'there is none'})")
    return np.memmap(file, dtype, "r", shape=(count, *shape)), skipped
