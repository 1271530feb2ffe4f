"""From a decoded image to the base DNN's input tensor, in two steps that may run in two places.

1. `resize`: uint8 image of any size → uint8 image of the base DNN's size.
2. `normalise`: uint8 images → float32 batch with the channels, mean and deviation it learned on.

The result of each depends on its input alone, not on where it ran: a small image travels as it is
and is resized beside the base DNN, a large one is resized before it travels.

Resizing is PyTorch's antialiased bilinear interpolation, as torchvision's presets use it. PyTorch
is imported where pixels are touched: who only reads what a plan says need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


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

    def resize(self, image: Tensor) -> Tensor:
        """`(..., C, h, w)` uint8 → `(..., C, H, W)` uint8 with `(H, W) = crop_size`."""
        if self.resize_size is None:
            return _interpolate(image, self.crop_size)
        return _centre(self._shorter_side_resized(image), self.crop_size)

    def shrink(self, image: Tensor) -> Tensor:
        """The smallest image of which `resize` makes what it makes of `image`: to keep samples as,
        `(..., C, h, w)` uint8 → `(..., C, *kept_size)` uint8."""
        if self.resize_size is None:
            return _interpolate(image, self.crop_size)
        return _centre(self._shorter_side_resized(image), self.kept_size)

    @property
    def kept_size(self) -> tuple[int, int]:
        """Of an image that `shrink` has made."""
        return self.crop_size if self.resize_size is None else (self.resize_size,) * 2

    def _shorter_side_resized(self, image: Tensor) -> Tensor:
        h, w = image.shape[-2:]
        shorter = min(h, w)
        return _interpolate(
            image, (self.resize_size * h // shorter, self.resize_size * w // shorter)
        )

    def normalise(self, images: Tensor) -> Tensor:
        """`(B, 1 or C, H, W)` uint8 → `(B, C, H, W)` float32; grey is repeated over channels."""
        import torch

        channels = len(self.mean)
        images = images.to(torch.float32).div_(255)
        if images.shape[1] != channels:
            images = images.expand(-1, channels, -1, -1)
        mean = torch.tensor(self.mean, device=images.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(-1, 1, 1)
        return (images - mean).div_(std)

    def __call__(self, images: Tensor) -> Tensor:
        """`(B, 1 or C, h, w)` uint8 of any size → the base DNN's input `(B, C, H, W)` float32."""
        return self.normalise(self.resize(images))


def _centre(image: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    top, left = (round((a - b) / 2) for a, b in zip(image.shape[-2:], size, strict=True))
    return image[..., top : top + height, left : left + width]


def _interpolate(image: Tensor, size: tuple[int, int]) -> Tensor:
    import torch
    from torch.nn import functional as F

    if tuple(image.shape[-2:]) == tuple(size):
        return image
    batch = image.reshape(-1, *image.shape[-3:])
    if image.is_cuda:  # which has no kernel for bytes
        resized = F.interpolate(batch.float(), size, mode="bilinear", antialias=True)
        resized = resized.round_().clamp_(0, 255).to(torch.uint8)
    else:
        resized = F.interpolate(batch, size, mode="bilinear", antialias=True)
    return resized.reshape(*image.shape[:-2], *size)


def as_tensor(images: np.ndarray) -> Tensor:
    """Decoded images `(B, h, w, C)` uint8 → `(B, C, h, w)`; else as it is, in float32."""
    import torch

    if images.dtype == np.uint8:
        return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    return torch.from_numpy(images.astype(np.float32))
