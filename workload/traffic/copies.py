"""How a sample that comes again differs from what it was: none of the copies changes what it is of.

- `moved`: pictures shifted by up to 7 % of the side, turned by up to 8 degrees, 10 % brighter or
  darker; sounds up to 3 dB louder or softer, and shifted by up to 20 ms;
- `upload`: what sharing leaves of a picture: one of the next three, at random; sounds as `moved`;
- `jpeg`: pictures saved as JPEG, quality 60 to 95;
- `crop`: pictures without 1 to 3 pixels of each side;
- `resize`: pictures of 0.7 to 1.4 times the size;
- `same`: as it was.

Texts come as they were.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from cache_models.network.pixels import as_array
from workload.errors import ParameterError
from workload.samples import Sample, Sound

MOVED, SAME = "moved", "same"
GAIN_DB, SHIFT_S = 3.0, 0.020
"""At most."""


def vary(sample: Sample, rng: np.random.Generator, kind: str = MOVED) -> Sample:
    """A copy of a `kind`, one of `KINDS`.

    Raises:
        ParameterError: there are none such of these samples.
    """
    match sample:
        case str():
            return sample
        case Sound() if kind in (MOVED, "upload"):
            return _elsewhere(sample, rng)
        case np.ndarray() if sample.dtype == np.uint8:
            return KINDS[kind](sample, rng)
    if kind == SAME:
        return sample
    what = "a sound" if isinstance(sample, Sound) else "a tensor"
    raise ParameterError(f"{what} has no copies of the kind {kind!r}; vary may be {SAME}")


def _moved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from cache_models.data.augmentation import alter  # here: `--help` need not wait for PyTorch

    by = 0.07 * image.shape[0] * rng.uniform(-1, 1, 2)
    return alter(image, by, rng.uniform(-8, 8), rng.uniform(0.9, 1.1))


def _upload(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (_jpeg, _crop, _resize)[rng.integers(3)](image, rng)


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    buffer = io.BytesIO()
    _pillow(image).save(buffer, "JPEG", quality=int(rng.integers(60, 96)))
    with Image.open(buffer) as again:
        return as_array(again)


def _crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    top, bottom, left, right = rng.integers(1, 4, 4)
    height, width = image.shape[:2]
    cropped = image[top : max(top + 1, height - bottom), left : max(left + 1, width - right)]
    return np.ascontiguousarray(cropped) if cropped.size else image


def _resize(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    by = rng.uniform(0.7, 1.4)
    height, width = (max(1, round(by * side)) for side in image.shape[:2])
    return as_array(_pillow(image).resize((width, height), Image.Resampling.BILINEAR))


def _pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _elsewhere(sound: Sound, rng: np.random.Generator) -> Sound:
    gain = 10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20)
    shift = round(rng.uniform(-SHIFT_S, SHIFT_S) * sound.rate)
    before, after = np.zeros(max(0, shift), np.float32), np.zeros(max(0, -shift), np.float32)
    wave = np.concatenate([before, sound.wave[max(0, -shift) :], after])[: len(sound.wave)]
    return Sound(np.clip(gain * wave, -1, 1).astype(np.float32), sound.rate)


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    MOVED: _moved,
    "upload": _upload,
    "jpeg": _jpeg,
    "crop": _crop,
    "resize": _resize,
    SAME: lambda image, _: image,
}
