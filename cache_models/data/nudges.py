"""Changes that leave an input what it is: nobody would label it otherwise, but a base DNN may."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cache_models.network.description import ModelDescription
from cache_models.network.pixels import as_array
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform

JPEG_QUALITY = 90
LOUDER = 1.05
"""Or brighter: what values are multiplied by."""
LATER_S = 0.001

Nudge = Callable[[np.ndarray], np.ndarray]
"""From one input to one like it, of the same shape and dtype."""


@dataclass(frozen=True)
class Nudges:
    """
    Attributes:
        as_it_was: what the others are compared with: an input as it is, or a text that has been
            read again from its tokens.
        changed: by what was done, as a sentence goes on after *a sample that is …*.
    """

    as_it_was: Nudge
    changed: dict[str, Nudge]


def nudges(description: ModelDescription, given: np.ndarray) -> Nudges | None:
    """Those that there are of inputs like `given`, `(N, ...)`; None of tensors.

    Args:
        description: of the base DNN.
    """
    match description.reader:
        case Waveform() as sounds:
            shift = round(LATER_S * sounds.sample_rate)
            return Nudges(_same, {"5 % louder": _louder, "1 ms later": lambda s: _later(s, shift)})
        case Tokens() as texts:
            return Nudges(
                lambda row: texts.read(texts.text(row)),
                {
                    "in the other case at its first letter": lambda row: texts.read(
                        _first_letter(texts.text(row))
                    ),
                    "ended by a full stop": lambda row: texts.read(_full_stop(texts.text(row))),
                },
            )
    if given.dtype != np.uint8:
        return None
    return Nudges(
        _same,
        {
            f"saved as JPEG of quality {JPEG_QUALITY}": _jpeg,
            "moved by half a pixel": _half_a_pixel,
            "5 % brighter": _brighter,
        },
    )


def _same(given: np.ndarray) -> np.ndarray:
    return given


def _jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    with Image.open(buffer) as again:
        return as_array(again)


def _half_a_pixel(image: np.ndarray) -> np.ndarray:
    """To the right, by bilinear interpolation; the leftmost column goes on beyond the edge."""
    moved = np.concatenate([image[:, :1], image[:, :-1]], axis=1)
    return ((image.astype(np.uint16) + moved + 1) // 2).astype(np.uint8)


def _brighter(image: np.ndarray) -> np.ndarray:
    return np.rint(image * LOUDER).clip(0, 255).astype(np.uint8)


def _louder(sound: np.ndarray) -> np.ndarray:
    return (sound * np.float32(LOUDER)).clip(-1, 1)


def _later(sound: np.ndarray, samples: int) -> np.ndarray:
    return np.concatenate([np.zeros(samples, sound.dtype), sound[: len(sound) - samples]])


def _first_letter(text: str) -> str:
    return text[:1].swapcase() + text[1:]


def _full_stop(text: str) -> str:
    return text[:-1] if text.endswith(".") and len(text) > 1 else f"{text}."
