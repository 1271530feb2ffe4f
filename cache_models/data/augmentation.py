"""Altered copies of the images that train, for predictors to learn on, too.

A predictor imitates the base DNN, and the base DNN can be asked about any input: what a copy shows
need not be known, nor even be likely (consistent teaching: Beyer, Zhai, Royer et al. 2022). So
every image gives as many samples as there is time to ask about, and on these, unlike on images that
the base DNN was itself trained on, it answers as it does to new ones.

Of an image's copies every other one is moved, turned, and made brighter or darker; the rest are so,
and then mixed with another image's in a random proportion (mixup: Zhang et al. 2018). Inputs that
are no images are only mixed; those of tokens are crossed, since there is nothing between two ids:
of each place the token of one of both.
"""

import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

MOVED, TURNED, BRIGHTER = 0.08, 10.0, 0.15
"""At most: shares of the sides, degrees, share of the brightness."""


class Augmented:
    """Some images, and after them `copies` altered ones of each image in `rows`, made anew, and
    always alike, whenever they are asked for.

    Args:
        images: `(N, h, w, C)` uint8, or `(N, *input_shape)` float32.
        rows: indices into them.
        of_tokens: whether they are ids of tokens, `(N, number of inputs, tokens)`.

    Attributes:
        added: indices of the copies.
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        copies: int,
        seed: int = 0,
        of_tokens: bool = False,
    ):
        self._images, self._rows, self._seed, self._of_tokens = images, rows, seed, of_tokens
        self.added = np.arange(len(images), len(images) + copies * len(rows))
        self.shape, self.dtype = (len(images) + len(self.added), *images.shape[1:]), images.dtype

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def recipe(self) -> tuple[bytes, np.ndarray]:
        """What names all of them, without making any: how copies are made, and the images."""
        crossed = " crossed" if self._of_tokens and len(self.added) else ""
        recipe = f"{self._seed} {len(self.added)} {self._rows.tolist()}{crossed}"
        return recipe.encode(), self._images

    def __getitem__(self, part: slice) -> np.ndarray:
        """`(n, h, w, C)` or `(n, *input_shape)`."""
        start, stop, _ = part.indices(len(self))
        there = len(self._images)
        if stop <= there:
            return self._images[start:stop]
        copies = [self._copy(i - there) for i in range(max(start, there), stop)]
        return np.concatenate([self._images[start:there], *copies])

    def _copy(self, i: int) -> np.ndarray:
        """The i-th copy, `(1, ...)`."""
        rng = np.random.default_rng([self._seed, i])
        copy = self._altered(self._rows[i % len(self._rows)], rng)
        if self._of_tokens:
            other = self._altered(rng.choice(self._rows), rng)
            copy = np.where(rng.random(copy.shape[-1]) < rng.random(), copy, other)
        elif self.dtype != np.uint8 or (i // len(self._rows)) % 2:
            weight = rng.random()
            copy = weight * copy + (1 - weight) * self._altered(rng.choice(self._rows), rng)
        if self.dtype == np.uint8:
            copy = np.round(copy)
        return copy.astype(self.dtype)[None]

    def _altered(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """One image in float32: moved, turned, brighter or darker if it is one."""
        image = self._images[row]
        if self.dtype != np.uint8:
            return image.astype(np.float32)
        by = MOVED * np.array(image.shape[1::-1]) * rng.uniform(-1, 1, 2)
        degrees, brightness = TURNED * rng.uniform(-1, 1), 1 + BRIGHTER * rng.uniform(-1, 1)
        return alter(image, by, degrees, brightness).astype(np.float32)


def alter(image: np.ndarray, by: np.ndarray, degrees: float, brightness: float) -> np.ndarray:
    """An image, `(h, w, C)` uint8, moved by `(x, y)` pixels, turned, its brightness multiplied."""
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    bilinear = F.InterpolationMode.BILINEAR
    tensor = F.affine(tensor, degrees, by.tolist(), 1.0, [0.0], bilinear)
    tensor = F.adjust_brightness(tensor, brightness)
    return tensor.permute(1, 2, 0).contiguous().numpy()
