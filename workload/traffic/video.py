"""A video's frames by index, decoded when they are asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cache_models.data.video import VideoOptions, upright
from cache_models.errors import DataError
from workload.samples import Samples

AHEAD = 100
"""Frames that are rather decoded and dropped than sought."""


class Video(Samples):
    """Frames `(h, w, channels)` uint8, 3 or 1 of them.

    In order they are decoded once each; out of order a frame is sought from the key frame before
    it.

    Attributes:
        times_s: when each frame is shown, the first 0, `(N,)`.

    Raises:
        DataError: PyAV is missing, or it cannot decode the file.
    """

    def __init__(self, path: Path, channels: int = 3):
        try:
            import av
        except ImportError as error:
            raise DataError(
                "a video needs PyAV: pip install -e '.[video]' in this project, or pip install av"
            ) from error
        self._path, self._channels = path, channels
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                shown = [frame.pts for frame in container.decode(stream)]
                self._time_base = stream.time_base
        except (av.FFmpegError, IndexError) as error:
            raise DataError(f"{path} cannot be decoded: {error}") from error
        if not shown or None in shown or self._time_base is None:
            raise DataError(f"{path} has no frames, or frames without times")
        self._shown = shown
        self.times_s = (np.array(shown) - shown[0]) * float(self._time_base)
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._next = 0

    def __len__(self) -> int:
        return len(self._shown)

    def __getitem__(self, index: int, /) -> np.ndarray:
        index = range(len(self))[index]
        if self._container is None or not self._next <= index < self._next + AHEAD:
            self._seek(index)
        for frame in self._frames:
            self._next += 1
            if frame.pts == self._shown[index]:
                self._next = index + 1
                if self._channels == 1:
                    return upright(frame.to_ndarray(format="gray"), frame)[..., None]
                return upright(frame.to_ndarray(format="rgb24"), frame)
        self.close()
        raise DataError(f"{self._path}: frame {index} cannot be decoded again")

    def close(self) -> None:
        """Also done when the video is read to its end, and by the next one who asks."""
        if self._container is not None:
            self._container.close()
        self._container = None

    def _seek(self, index: int) -> None:
        import av

        self.close()
        self._container = av.open(str(self._path))
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        if index > AHEAD:
            self._container.seek(self._shown[index], stream=stream, backward=True)
        self._frames = self._container.decode(stream)
        self._next = index


class Crops(Samples):
    """Fixed squares of a video's frames, of all or half of the time, frame by frame.

    Attributes:
        times_s: when each one's frame is shown, the first 0, `(N,)`.
    """

    def __init__(self, video: Video, options: VideoOptions):
        middle = len(video) // 2
        halves = {"first": slice(0, middle), "second": slice(middle, None), None: slice(None)}
        self._video, self._frames = video, range(len(video))[halves[options.half]]
        height, width = video[self._frames[0]].shape[:2]
        self._boxes = options.boxes((width, height))
        shown = np.asarray(video.times_s)[self._frames.start : self._frames.stop]
        self.times_s = np.repeat(shown - shown[0], len(self._boxes))
        self._last: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self._frames) * len(self._boxes)

    def __getitem__(self, index: int, /) -> np.ndarray:
        frame, place = divmod(range(len(self))[index], len(self._boxes))
        if self._last is None or self._last[0] != frame:
            self._last = frame, self._video[self._frames[frame]]
        left, upper, right, lower = self._boxes[place]
        return self._last[1][upper:lower, left:right]
