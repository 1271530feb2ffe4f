"""The sample that a request is of, from what a trace keeps: `item`, `round`, how a copy is varied,
and how it is worn.

An item from 0 on is one of the data's samples; its round says how often it has been sent before,
and from 1 on it is sent varied, as `workload.traffic.copies` does it. Items below 0 are foreign
pictures, which no class is like:

- `noise` (-1): every value at random, seeded by `round`;
- `inverted` (-2): the negative of the data's image `round`;
- `digits` (-3): scikit-learn's handwritten 8x8 digit `round`, enlarged;
- `gratings` (-4): stripes of random width, direction and contrast, seeded by `round`.

Where negatives or digits run out, `round` goes on counting and they come again, varied.

A *worn* picture is then darkened, turned and blurred, as by a lens that nobody cleans and a camera
that tilts.
"""

from functools import cache

import numpy as np

from workload.errors import ParameterError
from workload.samples import Sample, Samples, is_picture
from workload.traffic.copies import MOVED, vary

NOISE, INVERTED, DIGITS, GRATINGS = -1, -2, -3, -4

FOREIGN = {"noise": NOISE, "inverted": INVERTED, "digits": DIGITS, "gratings": GRATINGS}


def sample(samples: Samples, item: int, round_: int, copies: str = MOVED) -> Sample:
    """What to send; foreign pictures, `(h, w, C)` uint8, have the size of the data's first.

    Args:
        samples: of the data.
        copies: how copies differ, one of `workload.traffic.copies.KINDS`.
    """
    item, round_ = int(item), int(round_)
    rng = np.random.default_rng([round_, abs(item + 1), int(item < NOISE)])
    if item < 0:
        made: Sample = _foreign(samples, item, round_, rng)
    else:
        made = samples[item]
    return vary(made, rng, copies) if is_varied(item, round_, len(samples)) else made


def _foreign(samples: Samples, item: int, round_: int, rng: np.random.Generator) -> np.ndarray:
    shape = np.shape(_picture(samples[0]))
    if item == NOISE:
        return rng.integers(0, 256, shape, np.uint8)
    if item == GRATINGS:
        return _grating(shape, rng)
    if item == INVERTED:
        return 255 - _picture(samples[round_ % len(samples)])
    return _digit(shape, round_)


def _picture(sample: Sample) -> np.ndarray:
    if not is_picture(sample):
        raise ParameterError("foreign and worn samples are pictures; the data hold others")
    return sample


def is_varied(item: int, round_: int, data: int) -> bool:
    """Whether that picture is a varied copy of one that was sent before; `data` images there are.

    >>> is_varied(3, 0, 100), is_varied(3, 1, 100), is_varied(NOISE, 900, 100)
    (False, True, False)
    """
    if (limit := pool(item, data)) is not None:
        return round_ >= limit
    return item >= 0 and round_ > 0


def pool(item: int, data: int) -> int | None:
    """So many foreign images of a kind there are before they have to be varied; None: no end."""
    return {INVERTED: data, DIGITS: 1797}.get(item)


@cache
def _digits() -> np.ndarray:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ParameterError(
            "foreign digits need scikit-learn: pip install -e '.[compare]' in this project"
        ) from error
    return (load_digits().images * (255 / 16)).astype(np.uint8)


def _digit(shape: tuple[int, ...], which: int) -> np.ndarray:
    from PIL import Image

    digits = _digits()
    height, width, channels = shape
    small = Image.fromarray(digits[which % len(digits)])
    large = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    return np.repeat(large[..., None], channels, axis=2)


def _grating(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    angle, period = rng.uniform(0, np.pi), min(height, width) / rng.uniform(2, 10)
    wave = np.sin(
        2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 2 * np.pi)
    )
    values = (127.5 + rng.uniform(40, 127.5) * wave).astype(np.uint8)
    return np.repeat(values[..., None], channels, axis=2)


def wear(image: np.ndarray, brightness: float, blur: float, degrees: float) -> np.ndarray:
    """A worn picture.

    Args:
        image: `(h, w, 1 or 3)` uint8.
        brightness: is multiplied by it.
        blur: standard deviation of a Gaussian, as a share of the shorter side.
        degrees: turned by, against the clock; what comes into view is black.
    """
    from PIL import Image, ImageFilter

    radius = blur * min(image.shape[:2])
    worn = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    worn = worn.rotate(degrees, Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(radius))
    darker = np.rint(np.asarray(worn) * brightness).clip(0, 255).astype(np.uint8)
    return darker.reshape(image.shape)


class Sent(Samples):
    """The samples of a stream, made when they are asked for.

    Args:
        samples: of the data.
        items, rounds: of each request, `(n,)`.
        worn: the arguments of `wear` for each, `(n, 3)`; None: none is.
        copies: how copies differ.
    """

    def __init__(
        self,
        samples: Samples,
        items: np.ndarray,
        rounds: np.ndarray,
        worn: np.ndarray | None = None,
        copies: str = MOVED,
    ) -> None:
        self._samples, self._items, self._rounds = samples, items, rounds
        self._worn, self._copies = worn, copies

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int, /) -> Sample:
        made = sample(self._samples, self._items[index], self._rounds[index], self._copies)
        if self._worn is None:
            return made
        return wear(_picture(made), *self._worn[index].tolist())
