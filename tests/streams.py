"""Scenes before cameras, small enough to learn memories of streams from."""

import numpy as np

from cache_models.data.streams import Streams
from tests.tiny import images

CAMERAS, MEAN_STAY = 6, 4
ITEMS = 200


def popular(count: int, seed: int = 0) -> np.ndarray:
    """Requests in their order: pictures as `tests.tiny.images` makes them that come again, the r-th
    with a share as 1 / r, with a little noise."""
    rng = np.random.default_rng(seed + 1)
    shares = 1 / np.arange(1, ITEMS + 1)
    which = rng.choice(ITEMS, count, p=shares / shares.sum())
    pictures = images(ITEMS, seed)[which].astype(int)
    pictures += rng.integers(-3, 4, pictures.shape)
    return pictures.clip(0, 255).astype(np.uint8)


def scenes(count: int, seed: int = 0) -> tuple[np.ndarray, Streams]:
    """Pictures as `tests.tiny.images` makes them, each of which stays for a while before one of
    six cameras, with a little noise in every frame; and of which camera each frame is."""
    rng = np.random.default_rng(seed + 1)
    frames = count // CAMERAS
    shown = np.cumsum(rng.random((frames, CAMERAS)) < 1 / MEAN_STAY, axis=0)
    shown += np.arange(CAMERAS) * frames
    _, which = np.unique(shown, return_inverse=True)
    pictures = images(which.max() + 1, seed)[which.ravel()].astype(int)
    pictures += rng.integers(-3, 4, pictures.shape)
    return pictures.clip(0, 255).astype(np.uint8), Streams.of_frames(count, CAMERAS, 10.0)
