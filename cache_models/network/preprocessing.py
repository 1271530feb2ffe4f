"""From a decoded image to the base DNN's input, in two steps that may run in two places.

1. `resize`: uint8 images of any size → uint8 images of the base DNN's size.
2. `normalise`: uint8 images → a float32 batch with the channels, mean and deviation it learned on.

The result of each depends on its input alone, not on where it ran: a small image travels as it is
and is resized beside the base DNN, a large one is resized before it travels.

Resizing is Pillow's bilinear interpolation, which is antialiased: what torchvision's presets do to
a picture. Everything that learns, tests or serves uses this, so all see the same input.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Preprocessing:
    """How an image classifier wants its input, as torchvision's classification presets describe it.

    Args:
        crop_size: height and width of the input, in pixels.
        resize_size: the shorter side after resizing, before the centre crop; None resizes straight
            to `crop_size`, whatever the aspect ratio.
        mean, std: of the input's channels, for values in [0, 1]; their length is the channel count
            that the base DNN takes.
    """

    crop_size: tuple[int, int]
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resize_size: int | None = None

    def resize(self, images: np.ndarray) -> np.ndarray:
        """`(B, h, w, C)` uint8 → `(B, H, W, C)` uint8 with `(H, W) = crop_size`."""
        if self.resize_size is None:
            return _interpolate(images, self.crop_size)
        return _centre(self._shorter_side_resized(images), self.crop_size)

    def shrink(self, images: np.ndarray) -> np.ndarray:
        """The smallest images of which `resize` makes what it makes of `images`: to keep samples
        as, `(B, h, w, C)` uint8 → `(B, *kept_size, C)` uint8."""
        if self.resize_size is None:
            return _interpolate(images, self.crop_size)
        return _centre(self._shorter_side_resized(images), self.kept_size)

    @property
    def kept_size(self) -> tuple[int, int]:
        """Of an image that `shrink` has made."""
        return self.crop_size if self.resize_size is None else (self.resize_size,) * 2

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """`(B, H, W, 1 or C)` uint8 → `(B, C, H, W)` float32; grey is repeated over channels."""
        return self.scaled(images.transpose(0, 3, 1, 2).astype(np.float32))

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

    def _shorter_side_resized(self, images: np.ndarray) -> np.ndarray:
        assert self.resize_size is not None
        h, w = images.shape[1:3]
        shorter = min(h, w)
        return _interpolate(
            images, (self.resize_size * h // shorter, self.resize_size * w // shorter)
        )


def _centre(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    top, left = (round((a - b) / 2) for a, b in zip(images.shape[1:3], size, strict=True))
    return images[:, top : top + height, left : left + width]


def _interpolate(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if images.shape[1:3] == tuple(size):
        return images
    height, width = size
    return np.stack([_resized(image, width, height) for image in images])


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if image.shape[2] == 3:
        return _resized_by_pillow(image, width, height)
    # Pillow knows no other numbers of channels without a meaning of their own.
    channels = [_resized_by_pillow(c, width, height) for c in image.transpose(2, 0, 1)]
    return channels[0][..., None] if len(channels) == 1 else np.stack(channels, axis=2)


def _resized_by_pillow(image: np.ndarray, width: int, height: int) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
