"""What is computed of each sample before it is sent, a batch at a time, and kept on disk."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import closing
from itertools import islice

import numpy as np
from tqdm import tqdm

from cache_models.data.datasets import cache_home
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.truth import Truth
from workload.samples import Inputs, Sample

CHUNK = 50
"""Samples in memory at a time, and between two writes to disk."""


def base_answers(base: BaseDNN, samples: Iterable[Sample], device: str = "cpu") -> np.ndarray:
    """The base DNN's labels, `(n,)`.

    Raises:
        ParameterError: it takes no such samples.
    """

    truth, inputs = Truth(base, device), Inputs(samples, base.description)

    def labels(batch: np.ndarray) -> np.ndarray:
        return truth(batch)[:, None]

    return remembered(inputs, labels, base.fingerprint(), "answers", ("label",))[:, 0]


def remembered(
    inputs: Iterable[np.ndarray],
    compute: Callable[[np.ndarray], np.ndarray],
    key: str,
    table: str,
    columns: tuple[str, ...],
) -> np.ndarray:
    """Whole numbers `(n, len(columns))`, computed where the disk does not know them.

    Args:
        inputs: `(h, w, C)` uint8 or a float32 tensor each.
        compute: of a batch of them of one shape, `(B, len(columns))`.
        key: what the numbers depend on besides the input.
        table, columns: of the database in which they are kept.
    """
    file = cache_home() / "base_answers.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    found: list[tuple[int, ...]] = []
    names, source = ", ".join(columns), iter(inputs)
    total = len(inputs) if isinstance(inputs, Sized) else 0
    bar = tqdm(total=total or None, desc="base DNN", unit="sample")
    with closing(sqlite3.connect(file, timeout=60)) as db, bar:
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (picture TEXT PRIMARY KEY, "
            f"{', '.join(f'{column} INTEGER' for column in columns)})"
        )
        marks = ", ".join("?" * (1 + len(columns)))
        while chunk := list(islice(source, CHUNK)):
            keys = [hashlib.sha256(key.encode() + p.tobytes()).hexdigest() for p in chunk]
            asked = f"SELECT picture, {names} FROM {table} WHERE picture IN ({_marks(keys)})"
            known = {row[0]: row[1:] for row in db.execute(asked, keys)}
            missing = {k: p for k, p in zip(keys, chunk, strict=True) if k not in known}
            for part in _by_shape(missing):
                numbers = compute(np.stack(list(part.values()))).tolist()
                fresh = {k: tuple(row) for k, row in zip(part, numbers, strict=True)}
                db.executemany(
                    f"REPLACE INTO {table} VALUES ({marks})",
                    [(k, *row) for k, row in fresh.items()],
                )
                known |= fresh
            db.commit()
            found += [known[k] for k in keys]
            bar.update(len(keys))
    return np.array(found, dtype=np.int64).reshape(-1, len(columns))


def _marks(values: list[str]) -> str:
    return ", ".join("?" * len(values))


def _by_shape(pictures: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    shapes: dict[tuple, dict[str, np.ndarray]] = {}
    for key, picture in pictures.items():
        shapes.setdefault((picture.shape, picture.dtype), {})[key] = picture
    yield from shapes.values()
