"""What requests are of: pictures, sounds, texts, or tensors that a base DNN takes as they are.

They are sent as they are, a picture of its own size and a sound at its own rate: the rest is the
server's part. What the base DNN makes of one is known by `model_input`, for who computes its answer
beforehand.
"""

import io
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import numpy as np

from cache_models.network.description import ModelDescription
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform
from workload.errors import ParameterError


@dataclass(frozen=True)
class Sound:
    """One channel, `(frames,)` float32 in [-1, 1], of so many samples a second."""

    wave: np.ndarray
    rate: int


Sample = np.ndarray | Sound | str
"""A picture `(h, w, 1 or 3)` uint8 or a tensor in float32; a sound; a text."""


class Samples(Protocol):
    """Samples by index, whether they lie in an array, are decoded from files, or are made when
    asked for; an array or a list of them is one, too."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


class Joined(Samples):
    """Several, one after the other."""

    def __init__(self, parts: list[Samples]):
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int, /) -> Sample:
        index = range(len(self))[index]
        which = int(np.searchsorted(self._ends, index, side="right"))
        part = self._parts[which]
        return part[index - int(self._ends[which]) + len(part)]


class Inputs:
    """The base DNN's inputs of samples, made when they are asked for; pictures stay as they are.

    Args:
        description: of the base DNN.
    """

    def __init__(self, samples: Iterable[Sample], description: ModelDescription):
        self._samples, self._description = samples, description

    def __len__(self) -> int:
        return len(self._samples) if isinstance(self._samples, Sized) else 0

    def __iter__(self) -> Iterator[np.ndarray]:
        return (model_input(sample, self._description) for sample in self._samples)


def model_input(sample: Sample, description: ModelDescription | None) -> np.ndarray:
    """What a base DNN is asked about in one process: a picture as it is, else its input.

    Args:
        description: of the base DNN; pictures and tensors need none.

    Raises:
        ParameterError: it takes no such samples.
        DataError: it cannot read this one.
    """
    reader = description and description.reader
    match sample:
        case np.ndarray():
            return sample
        case Sound() if isinstance(reader, Waveform):
            return reader.read(wav(sample))
        case str() if isinstance(reader, Tokens):
            return reader.read(sample)
    kind = "texts" if isinstance(sample, str) else "sounds"
    raise ParameterError(f"the data are {kind}, and the base DNN takes none: name its --model")


def is_picture(sample: Sample) -> TypeGuard[np.ndarray]:
    return isinstance(sample, np.ndarray) and sample.dtype == np.uint8


def wav(sound: Sound) -> bytes:
    """As a WAV file of float32, which loses nothing."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, sound.wave, sound.rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
