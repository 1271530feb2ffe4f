"""Samples of a base DNN that takes sounds or texts."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cache_models.errors import DataError
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import SUFFIXES, Waveform
from cache_models.paths import files_under

Reading = Callable[[], np.ndarray]
TEXTS = {".txt", ".jsonl"}


def files(reader: Waveform | Tokens, source: Path) -> list[tuple[str, Reading]]:
    """What there is to read at `source`, by name; nothing if it is not of the kind.

    Raises:
        DataError: a line of a file of texts is not what it should be.
    """
    if isinstance(reader, Waveform):
        paths = files_under(source, SUFFIXES)
        return [(str(path), partial(reader.read, path)) for path in paths]
    if source.suffix not in TEXTS or not source.is_file():
        return []
    return [
        (f"{source}, line {i}", partial(reader.read, text))
        for i, text in enumerate(_texts(source), 1)
    ]


def as_inputs(
    found: list[tuple[str, Reading]], shape: tuple[int, ...], folder: Path
) -> tuple[np.ndarray, int, list[str]]:
    """The inputs, in a memory-mapped file, `(N, *shape)` float32; 0, since they know nothing of
    each other; and what could not be read, and why.

    Raises:
        DataError: nothing could be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, count, skipped = folder / "samples.f32", 0, []
    with open(file, "wb") as out:
        for name, read in tqdm(found, desc="read", unit="file"):
            try:
                out.write(read().tobytes())
                count += 1
            except DataError as error:
                skipped.append(f"{name}: {error}")
    if not count:
        raise DataError(f"nothing could be read ({'; '.join(skipped[:5])})")
    return np.memmap(file, np.float32, "r", shape=(count, *shape)), 0, skipped


def _texts(source: Path) -> Iterator[str]:
    for i, line in enumerate(source.read_text().splitlines(), 1):
        try:
            yield json.loads(line)["text"] if source.suffix == ".jsonl" else line
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{source}, line {i}: {error!r}; a line may be {{"text": "..."}}'
            ) from error
