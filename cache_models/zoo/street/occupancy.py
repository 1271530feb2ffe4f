"""How many people are in each zone of a video, by background subtraction: labels of nobody's hand.

They are noisy, as a counter made of such parts would be; what is shown with them is not how well
people are counted.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from cache_models.data.video import VideoOptions, squares
from cache_models.data.video import pictures as frames
from cache_models.errors import DataError

CLASSES = ("empty", "one", "two", "several")
ZONES = 24
"""In four rows; the lowest is a lawn, over which hardly anybody walks."""
WARM_UP = 100
"""Frames that the background is learned from before they are labelled."""
LEAST_PX = 350
"""Of a blob, in a video of 768x576."""
HISTORY = 300


def occupancy(video: Path) -> np.ndarray:
    """Which of `CLASSES` each zone of each frame is, `(frames, ZONES)` int64.

    Moving blobs are counted in the zones that their centres lie in (MOG2: Zivkovic 2004).

    Raises:
        DataError: OpenCV is not installed, or the video cannot be read.
    """
    try:
        import cv2
    except ImportError as error:
        raise DataError(f"{error}: pip install -e '.[street]' in this project") from error
    subtractor = cv2.createBackgroundSubtractorMOG2(HISTORY)
    for frame in _arrays(video, WARM_UP):
        subtractor.apply(frame)
    counts = []
    for frame in tqdm(_arrays(video), "label", unit="frame"):
        moving = (subtractor.apply(frame) == 255).astype(np.uint8)  # 127 is a shadow
        whole = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((9, 5), np.uint8))
        _, _, blobs, centres = cv2.connectedComponentsWithStats(whole)
        large = blobs[1:, cv2.CC_STAT_AREA] >= LEAST_PX
        counts.append(_counted(centres[1:][large], frame.shape[1::-1]))
    if not counts:
        raise DataError(f"{video} has no frames")
    return np.minimum(np.array(counts), len(CLASSES) - 1)


def _arrays(video: Path, most: int | None = None):
    for i, frame in enumerate(frames(video, VideoOptions())):
        if isinstance(frame, str):
            raise DataError(frame)
        if i == most:
            return
        yield np.asarray(frame)


def _counted(centres: np.ndarray, size: tuple[int, int]) -> list[int]:
    return [
        int(
            (
                (centres[:, 0] >= left)
                & (centres[:, 0] < right)
                & (centres[:, 1] >= upper)
                & (centres[:, 1] < lower)
            ).sum()
        )
        for left, upper, right, lower in squares(size, ZONES)
    ]
