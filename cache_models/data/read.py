"""Samples of a base DNN that takes sounds or texts."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

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
    sources = [source] if source.is_file() else files_under(source, TEXTS)
    return [
        (f"{file}, line {i}", partial(reader.read, line["text"]))
        for file in sources
        if file.suffix in TEXTS
        for i, line in enumerate(lines(file), 1)
    ]


def rows(found: Iterable[tuple[str, Reading]]) -> Iterator[np.ndarray | str]:
    """What was read, or why it could not be."""
    for name, read in found:
        try:
            yield read()
        except DataError as error:
            yield f"{name}: {error}"


def lines(source: Path) -> Iterator[dict[str, Any]]:
    """A file of texts, line by line: its `text`, and what else a line of JSON has.

    Raises:
        DataError: the file cannot be read as UTF-8, or a line is not what it should be.
    """
    for i, line in enumerate(_decoded(source), 1):
        try:
            row = {"text": line.rstrip("\n")} if source.suffix == ".txt" else json.loads(line)
            if not isinstance(row["text"], str):
                raise TypeError(f"text is {row['text']!r}; it may be a string")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{source}, line {i}: {error!r}; a line may be {{"text": "..."}}'
            ) from error
        yield row


def keys(source: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Of which stream each text of a file is, `(N,)` int64, and when it came, `(N,)` seconds; None
    where its lines do not all say so.

    Raises:
        DataError: a time is no number.
    """
    if source.suffix != ".jsonl" or not source.is_file():
        return None
    names, at = [], []
    for i, row in enumerate(lines(source), 1):
        if "stream" not in row or "at" not in row:
            return None
        names.append(str(row["stream"]))
        try:
            at.append(float(row["at"]))
        except (TypeError, ValueError) as error:
            raise DataError(f"{source}, line {i}: `at` may be seconds: {error}") from error
    return np.unique(names, return_inverse=True)[1].astype(np.int64), np.array(at)


def _decoded(source: Path) -> Iterator[str]:
    try:
        with open(source, encoding="utf-8-sig") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{source} cannot be read: {error}; texts are in UTF-8: `iconv -f LATIN1 -t UTF-8` "
            f"makes it of Latin 1"
        ) from error
