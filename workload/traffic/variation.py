"""The picture that a request is of, from what a trace keeps: `item`, `round`, and how it is worn.

An item from 0 on is one of the data's images; its round says how often it has been sent before,
and from 1 on it is sent varied. Items below 0 are foreign, which no class is like:

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
from workload.traffic.images import Images

NOISE, INVERTED, DIGITS, GRATINGS = -1, -2, -3, -4

FOREIGN = {"noise": NOISE, "inverted": INVERTED, "digits": DIGITS, "gratings": GRATINGS}


def picture(images: Images, item: int, round_: int) -> np.ndarray:
    """The image to send, `(h, w, C)` uint8; foreign ones have the size of the data's first.

    Args:
        images: of the data.
    """
    item, round_ = int(item), int(round_)
    rng = np.random.default_rng([round_, abs(item + 1), int(item < NOISE)])
    if item == NOISE:
        return rng.integers(0, 256, np.shape(images[0]), np.uint8)
    if item == GRATINGS:
        return _grating(np.shape(images[0]), rng)
    if item == INVERTED:
        image = 255 - images[round_ % len(images)]
    elif item == DIGITS:
        image = _digit(np.shape(images[0]), round_)
    else:
        image = images[item]
    return vary(image, rng) if is_varied(item, round_, len(images)) else image


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


def vary(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifted by up to 7 % of its side, turned by up to 8 degrees, 10 % brighter or darker."""
    from cache_models.data.augmentation import alter  # here: `--help` need not wait for PyTorch

    by = 0.07 * image.shape[0] * rng.uniform(-1, 1, 2)
    return alter(image, by, rng.uniform(-8, 8), rng.uniform(0.9, 1.1))


@cache
def _digits() -> np.ndarray:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ParameterError(
            "foreign digits need scikit-learn: pip install -e '.[compare]' in this project"
        ) from error
    return (load_digits().images * (255 / 16)).astype(np.uint8)


def _digit(shape: tuple[int, int, int], which: int) -> np.ndarray:
    from PIL import Image

    digits = _digits()
    height, width, channels = shape
    small = Image.fromarray(digits[which % len(digits)])
    large = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    return np.repeat(large[..., None], channels, axis=2)


def _grating(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
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


class Pictures(Images):
    """The pictures of a stream, made when they are asked for.

    Args:
        images: of the data.
        items, rounds: of each request, `(n,)`.
        worn: the arguments of `wear` for each, `(n, 3)`; None: none is.
    """

    def __init__(
        self,
        images: Images,
        items: np.ndarray,
        rounds: np.ndarray,
        worn: np.ndarray | None = None,
    ) -> None:
        self._images, self._items, self._rounds, self._worn = images, items, rounds, worn

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> np.ndarray:
        made = picture(self._images, self._items[index], self._rounds[index])
        return made if self._worn is None else wear(made, *self._worn[index].tolist())
