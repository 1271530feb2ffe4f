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


CLASSES, VALUES = 4, 12
"""Of `stays`."""


def stays(samples, streams=6, mean_stay=12, seed=0):
    """Objects that stay before cameras: features that say little of the class in a single frame,
    and hardly change while an object stays."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((CLASSES, VALUES))
    count = samples // streams
    changes = rng.random((streams, count)) < 1 / mean_stay
    which = np.cumsum(changes, axis=1)
    classes = rng.integers(0, CLASSES, (streams, count))
    answers = np.take_along_axis(classes, which, axis=1)
    own = 2.5 * rng.standard_normal((streams, count, VALUES))
    objects = np.take_along_axis(own, which[..., None].repeat(VALUES, 2), axis=1)
    noise = 0.3 * rng.standard_normal((streams, count, VALUES))
    features = (centres[answers] + objects + noise).astype(np.float16)
    at = np.tile(np.arange(count) / 10.0, (streams, 1))
    keys = np.arange(streams)[:, None].repeat(count, 1)
    order = np.argsort(at.ravel(), kind="stable")
    flat = features.reshape(-1, VALUES), answers.ravel(), keys.ravel(), at.ravel()
    return [part[order] for part in flat]
