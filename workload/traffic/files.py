"""Files of pictures, of sounds or of texts: what is in a folder, or in one file of texts.

A folder holds one kind: that of most of its files. Sub-folders are labels; but those that are
called `speaker…` say whose a file is, as do names of files that begin so, or with what stands
before `_nohash_`, as in Speech Commands. A file of texts has a text a line, or a JSON object a
line, with the key `text` and perhaps `label` and `speaker` or `user`; in a folder, its own name is
the label of its lines where no sub-folder is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache_models.data.read import TEXTS, lines
from cache_models.data.samples import IMAGES
from cache_models.errors import DataError
from cache_models.network.pixels import open_picture, pixels
from cache_models.network.waveform import SUFFIXES as SOUNDS
from cache_models.paths import files_under
from workload.samples import Samples, Sound

SPEAKER = re.compile(r"speaker[-_ ]?[A-Za-z0-9]+|[A-Za-z0-9]+(?=_nohash_)", re.IGNORECASE)


@dataclass
class Found:
    """
    Attributes:
        labels, speakers: of each sample; empty where they are not known.
        skipped: what cannot be read, and why.
    """

    samples: Samples
    labels: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class Folder(Samples):
    """A folder's pictures, decoded when they are asked for."""

    def __init__(self, paths: Sequence[Path], channels: int):
        self._paths, self._channels = paths, channels

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        """
        Raises:
            DataError: the file is damaged.
        """
        path = self._paths[index]
        try:
            with open_picture(path.read_bytes()) as image:
                return pixels(image, self._channels)
        except Exception as error:
            raise DataError(f"{path} cannot be read as a picture: {error}") from error


class Sounds(Samples):
    """A folder's sounds, decoded when they are asked for; channels are averaged."""

    def __init__(self, paths: Sequence[Path]):
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> Sound:
        """
        Raises:
            DataError: the file is damaged.
        """
        import soundfile

        path = self._paths[index]
        try:
            wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{path} cannot be read as a sound: {error}") from error
        return Sound(wave.mean(1), rate)


def found(path: Path, channels: int) -> Found:
    """What there is to read at `path`, a folder or a file of texts.

    Args:
        channels: of pictures.

    Raises:
        DataError: there is nothing, or a line is no text.
    """
    if path.is_file():
        return _texts(path.parent, [path])
    kinds = (IMAGES, SOUNDS, TEXTS)
    suffixes = max(kinds, key=lambda kind: len(files_under(path, kind)))
    paths = files_under(path, suffixes)
    if suffixes is TEXTS and paths:
        return _texts(path, paths)
    readable, skipped = [], []
    for file in paths:
        try:
            _open(file, suffixes)
            readable.append(file)
        except Exception as error:
            skipped.append(f"{file}: {error}")
    if not readable:
        raise DataError(
            f"{path} holds no readable picture, sound or text ({'; '.join(skipped[:5]) or 'none'})"
        )
    samples = Folder(readable, channels) if suffixes is IMAGES else Sounds(readable)
    labels, speakers = zip(*(_said(file.relative_to(path)) for file in readable), strict=True)
    return Found(samples, list(labels), list(speakers), skipped)


def _open(file: Path, suffixes: set[str]) -> None:
    """Its header, which decodes nothing."""
    if suffixes is IMAGES:
        open_picture(file.read_bytes()).close()
        return
    try:
        import soundfile
    except ImportError as error:
        raise DataError(
            "sounds need soundfile: pip install -e '.[audio]' in this project"
        ) from error
    if not soundfile.info(file).frames:
        raise DataError("the sound is empty")


def _said(file: Path) -> tuple[str, str]:
    """Label and speaker that a path within the data names."""
    speaker = next((m[0] for part in file.parts if (m := SPEAKER.match(part))), "")
    labels = [part for part in file.parts[:-1] if not SPEAKER.match(part)]
    return labels[0] if labels else "", speaker


def _texts(folder: Path, paths: Sequence[Path]) -> Found:
    one = len(paths) == 1
    read = Found([])
    texts: list[str] = []
    for path in paths:
        label, speaker = _said(path.relative_to(folder))
        for i, line in enumerate(lines(path), 1):
            if not line["text"].strip():
                read.skipped.append(f"{path}, line {i}: the text is empty")
                continue
            texts.append(line["text"])
            read.labels.append(str(line.get("label", label or ("" if one else path.stem))))
            read.speakers.append(str(line.get("speaker", line.get("user", speaker))))
    if not texts:
        raise DataError(f"{', '.join(map(str, paths))} holds no text")
    read.samples = texts
    return read
