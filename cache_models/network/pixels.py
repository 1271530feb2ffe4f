"""From a decoded picture to an array of bytes; the same when caches are learned and when served."""

import numpy as np
from PIL import Image


def pixels(image: Image.Image, channels: int) -> np.ndarray:
    """A picture as `(h, w, 1 or 3)` uint8.

    A grey image keeps its one channel, since repeating it is the base DNN's preprocessing. Alpha is
    dropped; 16-bit grey is reduced to its upper 8 bits.

    Args:
        channels: that the base DNN takes; 1 turns colour to grey.

    Raises:
        OSError, ValueError, SyntaxError: the file behind the image is damaged.
    """
    if image.mode.startswith("I"):
        array = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
    else:
        grey = channels == 1 or image.mode in ("1", "L", "LA")
        array = np.asarray(image.convert("L" if grey else "RGB"))
    return array[..., None] if array.ndim == 2 else array
