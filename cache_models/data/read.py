"""Samples of a base DNN that takes sounds or texts; what a file of JSON lines says of samples."""

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
TEXT, FILE = "text", "file"
"""Keys of a line of JSON: a text, or a file of a picture or sound, by its path from there."""


def files(reader: Waveform | Tokens, source: Path) -> list[tuple[str, Reading]]:
    """What there is to read at `source`, by name; nothing if it is not of the kind.

    Raises:
        DataError: a line of a file of texts is not what it should be.
    """
    if isinstance(reader, Waveform):
        paths = listed(source) or files_under(source, SUFFIXES)
        return [(str(path), partial(reader.read, path)) for path in paths]
    sources = [source] if source.is_file() else files_under(source, TEXTS)
    return [
        (f"{file}, line {i}", partial(reader.read, line[TEXT]))
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


def listed(source: Path) -> list[Path]:
    """The files that a `.jsonl` names; none where it is no such file.

    Raises:
        DataError: the file cannot be read as UTF-8, or a line names none.
    """
    if source.suffix != ".jsonl" or not source.is_file():
        return []
    return [source.parent / line[FILE] for line in lines(source, FILE)]


def lines(source: Path, of: str = TEXT) -> Iterator[dict[str, Any]]:
    """A file of texts, or of other files' names, line by line: what it is `of`, and what else a
    line of JSON has.

    Raises:
        DataError: the file cannot be read as UTF-8, or a line is not what it should be.
    """
    for i, line in enumerate(_decoded(source), 1):
        try:
            row = {of: line.rstrip("\n")} if source.suffix == ".txt" else json.loads(line)
            if not isinstance(row[of], str):
                raise TypeError(f"{of} is {row[of]!r}; it may be a string")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{source}, line {i}: {error!r}; a line may be {{"{of}": "..."}}'
            ) from error
        yield row


def keys(source: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Of which stream each line of a file that was read is, `(N,)` int64, and when it came, `(N,)`
    seconds; None where its lines do not all say so.

    Raises:
        DataError: a time is no number.
    """
    if source.suffix != ".jsonl" or not source.is_file():
        return None
    names, at = [], []
    for i, row in enumerate(map(json.loads, _decoded(source)), 1):
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
