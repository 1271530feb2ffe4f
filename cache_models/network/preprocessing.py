"""From a decoded image to the base DNN's input, in two steps that may run in two places.

1. `resize`: uint8 images of any size → uint8 images of the base DNN's size.
2. `normalise`: uint8 images → a float32 batch with the channels, mean and deviation it learned on.

The result of each depends on its input alone, not on where it ran: a small image travels as it is
and is resized beside the base DNN, a large one is resized before it travels.

Resizing is Pillow's, which is antialiased: what torchvision's presets do to a picture. Everything
that learns, tests or serves uses this, so all see the same input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from cache_models.network.pixels import WHITE, as_array

MOST_ENLARGED = 16
"""A picture that would have more than so many times the pixels that are kept of it is cropped
before it is resized, not after: the result is the same to one level in 255, and a picture of one
row does not become gigabytes."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
"""As Pillow's filters, and torchvision's modes for pictures, are named."""

MEANS = frozenset({"bilinear", "hamming"})
"""Those by which a pixel is a mean of some of the picture's, with weights that change little where
the picture's size does. Others overshoot and are clipped, or leave out pixels by a hair."""

LONGEST_SIDE = 512
"""Of a picture whose resizing `matrices` says: those of longer ones would take longer to make than
the resizing takes."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image classifier wants its input, as torchvision's classification presets describe it.

    Args:
        crop_size: height and width of the input, in pixels.
        resize_size: the shorter side after resizing, before the centre crop; None resizes straight
            to `crop_size`, whatever the aspect ratio.
        mean, std: of the input's channels, for values in [0, 1]; their length is the channel count
            that the base DNN takes.
        background: RGB of what transparent pixels are laid on.
        interpolation: that pictures are resized with.
    """

    crop_size: tuple[int, int]
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resize_size: int | None = None
    background: tuple[int, int, int] = WHITE
    interpolation: Interpolation = "bilinear"

    def resize(self, images: np.ndarray) -> np.ndarray:
        """`(B, h, w, C)` uint8 → `(B, H, W, C)` uint8 with `(H, W) = crop_size`."""
        return self._cropped(self.shrink(images))

    def resize_picture(self, picture: Image.Image) -> np.ndarray:
        """What `resize` makes of a picture of mode L or RGB, `(H, W, 1 or 3)` uint8, without an
        array of all its pixels."""
        return self._cropped(self.shrink_picture(picture)[None])[0]

    def shrink(self, images: np.ndarray) -> np.ndarray:
        """The smallest images of which `resize` makes what it makes of `images`: to keep samples
        as, `(B, h, w, C)` uint8 → `(B, *kept_size, C)` uint8."""
        whole = self._resized_size(*images.shape[1:3])
        if images.shape[1:3] == whole:
            top, left = self._corner(whole)
            height, width = self.kept_size
            return images[:, top : top + height, left : left + width]
        return np.stack([_by_channel(self._shrunk, image) for image in images])

    def shrink_picture(self, picture: Image.Image) -> np.ndarray:
        """What `shrink` makes of a picture of mode L or RGB, `(*kept_size, 1 or 3)` uint8."""
        return as_array(self._shrunk(picture))

    def matrices(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray] | None:
        """`resize` of pictures of that size as a product, but for its rounding to whole levels.

        Returns:
            Float32 `(H, height)` and `(W, width)`: what `resize` makes of a plane of pixels is
            `rows @ plane @ columns.T`. None where it is no such product, or a side is longer than
            `LONGEST_SIDE`.
        """
        if self.interpolation not in MEANS or max(height, width) > LONGEST_SIDE:
            return None
        sizes = zip((height, width), self._resized_size(height, width), self.crop_size, strict=True)
        rows, columns = (self._along_side(*of_side) for of_side in sizes)
        return rows, columns

    @property
    def kept_size(self) -> tuple[int, int]:
        """Of an image that `shrink` has made."""
        return self.crop_size if self.resize_size is None else (self.resize_size,) * 2

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """`(B, H, W, 1 or C)` uint8 → `(B, C, H, W)` float32; grey is repeated over channels.

        Contiguous, as batches are in training: with the strides of a picture, which PyTorch calls
        channels-last, no layer's output could be flattened by `view`.
        """
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return self.scaled(planes.astype(np.float32))

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels, or means of some, `(B, 1 or C, h, w)` float32 in [0, 255] → as inputs have them,
        `(B, C, h, w)`; `pixels` are changed."""
        pixels /= 255
        mean, std = (
            np.array(of_channels, np.float32).reshape(-1, 1, 1)
            for of_channels in (self.mean, self.std)
        )
        scaled = pixels - mean
        scaled /= std
        return scaled

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """`(B, h, w, 1 or C)` uint8 of any size → the base DNN's input `(B, C, H, W)` float32."""
        return self.normalise(self.resize(images))

    def _resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of such a picture when it has been resized, and not cropped."""
        if self.resize_size is None:
            return self.crop_size
        shorter = min(height, width)
        return self.resize_size * height // shorter, self.resize_size * width // shorter

    def _corner(self, resized: tuple[int, int]) -> tuple[int, int]:
        """Top and left of what is kept of a resized picture, so that its centre crop is that of
        the whole, of which half a pixel may be rounded either way."""
        top, left = (
            round((whole - crop) / 2) - round((kept - crop) / 2)
            for whole, kept, crop in zip(resized, self.kept_size, self.crop_size, strict=True)
        )
        return top, left

    def _along_side(self, length: int, whole: int, crop: int) -> np.ndarray:
        """What the centre `crop` of `whole` resized pixels has of each of `length`, `(crop,
        length)`: pictures of one pixel each, side by side, resized along the other side."""
        start, scale = round((whole - crop) / 2), length / whole
        box = (0, start * scale, length, (start + crop) * scale)
        each = Image.fromarray(np.eye(length, dtype=np.float32))
        how = Image.Resampling[self.interpolation.upper()]
        return np.asarray(each.resize((length, crop), how, box))

    def _shrunk(self, picture: Image.Image) -> Image.Image:
        whole = resized_height, resized_width = self._resized_size(picture.height, picture.width)
        top, left = self._corner(whole)
        height, width = self.kept_size
        how = Image.Resampling[self.interpolation.upper()]
        if resized_height * resized_width <= MOST_ENLARGED * height * width:
            resized = picture.resize((resized_width, resized_height), how)
            return resized.crop((left, top, left + width, top + height))
        across, down = picture.width / resized_width, picture.height / resized_height
        box = left * across, top * down, (left + width) * across, (top + height) * down
        return picture.resize((width, height), how, box)

    def _cropped(self, images: np.ndarray) -> np.ndarray:
        """`(B, *kept_size, C)` → `(B, *crop_size, C)`."""
        height, width = self.crop_size
        top, left = (
            round((kept - crop) / 2)
            for kept, crop in zip(self.kept_size, self.crop_size, strict=True)
        )
        return images[:, top : top + height, left : left + width]


def _by_channel(function: Callable[[Image.Image], Image.Image], image: np.ndarray) -> np.ndarray:
    """Of an image `(h, w, C)` uint8: all channels at once, or each alone, since Pillow knows no
    other numbers of them without a meaning of their own."""
    if image.shape[2] == 3:
        return np.asarray(function(Image.fromarray(np.ascontiguousarray(image))))
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in image.transpose(2, 0, 1))
    return np.stack([np.asarray(function(plane)) for plane in planes], axis=2)
