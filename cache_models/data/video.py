"""Video files, frame by frame: whole frames or fixed crops of them, of all or half of the time.

`street.avi?crops=6&half=first` names six squares of every frame of the first half: a grid of them,
each of which overlaps its neighbours by half or more, always at the same places, as if so many
cameras looked on; `only=4-6` takes the last three of them. Frames depend on their neighbours in
time, so learn from one half and measure on the other.
"""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cache_models.errors import DataError

SUFFIXES = {".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v"}
FORM = "<file>[?crops=<squares a frame>&only=<from>-<to>&half=<first or second>]"


class VideoOptions(BaseModel):
    """What of a video is meant.

    Attributes:
        crops: squares a frame; 0 is the whole frame.
        only: the first and the last of the squares that are meant, counted row by row from 1,
            `19-24`; None is all of them.
        half: of the frames; None is all of them.
    """

    model_config = ConfigDict(extra="forbid")

    crops: int = Field(0, ge=0, le=100)
    only: str | None = Field(None, pattern=r"^[0-9]{1,3}-[0-9]{1,3}$")
    half: Literal["first", "second"] | None = None

    @model_validator(mode="after")
    def _are_there(self) -> "VideoOptions":
        first, last = self._from_to()
        if not 1 <= first <= last <= max(1, self.crops):
            raise ValueError(f"only={self.only} is not within 1-{max(1, self.crops)}")
        return self

    def _from_to(self) -> tuple[int, int]:
        if self.only is None:
            return 1, max(1, self.crops)
        first, last = map(int, self.only.split("-"))
        return first, last

    @property
    def views(self) -> int:
        """Pictures a frame."""
        first, last = self._from_to()
        return last - first + 1

    def boxes(self, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        """Left, upper, right, lower of what is meant of a frame of this width and height."""
        first, last = self._from_to()
        return squares(size, self.crops)[first - 1 : last]


def parse(name: str) -> tuple[Path, VideoOptions] | None:
    """The file and the options that `name` stands for; None if it names no video file.

    Raises:
        DataError: an option is unknown or wrong.
    """
    file, _, query = name.partition("?")
    path = Path(file)
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return None
    try:
        return path, VideoOptions(**dict(parse_qsl(query, strict_parsing=bool(query))))
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ": ".join([name, *map(str, wrong["loc"])])
        raise DataError(f"{where}: {wrong['msg']}. A video is {FORM}") from error
    except ValueError as error:
        raise DataError(f"{name}: {error}. A video is {FORM}") from error


def pictures(path: Path, options: VideoOptions) -> Iterator[Image.Image | str]:
    """Every frame, or its crops from the upper left on; a text says why there are no more.

    Raises:
        DataError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise DataError(
            "a video needs PyAV: pip install -e '.[video]' in this project, or pip install av"
        ) from error
    try:
        middle = _frames(path) // 2 if options.half else 0
        with av.open(str(path)) as container:
            frames = container.decode(video=0)
            if options.half:
                first = options.half == "first"
                frames = islice(frames, 0 if first else middle, middle if first else None)
            for frame in frames:
                picture = Image.fromarray(upright(frame.to_ndarray(format="rgb24"), frame))
                for box in options.boxes(picture.size):
                    yield picture.crop(box)
    except (av.FFmpegError, IndexError) as error:
        yield f"{path}: {error}"


def upright(picture: np.ndarray, frame: Any) -> np.ndarray:
    """A frame as every viewer shows it: a phone that is held upright writes frames that lie on
    their side, and in its file how to turn them.

    Args:
        picture: the pixels of `frame`, `(h, w)` or `(h, w, channels)`.
        frame: PyAV's, which says how to turn them.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return picture
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()  # x = a x + c y, y = b x + d y
    if abs(b) > abs(a):
        picture, a, d = picture.swapaxes(0, 1), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def rate(path: Path) -> float:
    """Frames a second; 25 where the file does not say."""
    import av

    with av.open(str(path)) as container:
        return float(container.streams.video[0].average_rate or 25)


def squares(size: tuple[int, int], count: int) -> list[tuple[int, int, int, int]]:
    """The smallest grid of `count` squares of which each overlaps its neighbours by half or more.

    Args:
        size: width and height of the frame, in pixels.
        count: 0 is the whole frame.

    Returns:
        left, upper, right, lower of each, row by row.

    >>> squares((768, 576), 6)[:4]
    [(0, 0, 384, 384), (192, 0, 576, 384), (384, 0, 768, 384), (0, 192, 384, 576)]
    """
    width, height = size
    if not count:
        return [(0, 0, width, height)]
    grids = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]

    def side(grid: tuple[int, int]) -> int:
        rows, columns = grid
        half_overlapping = max(2 * width / (columns + 1), 2 * height / (rows + 1))
        return min(width, height, math.ceil(half_overlapping))

    rows, columns = min(grids, key=side)
    side_px = side((rows, columns))
    lefts, uppers = _spread(width - side_px, columns), _spread(height - side_px, rows)
    return [(x, y, x + side_px, y + side_px) for y in uppers for x in lefts]


def _spread(room: int, count: int) -> list[int]:
    """`count` places from 0 to `room`, evenly; one alone in the middle."""
    return [round(room * i / (count - 1)) for i in range(count)] if count > 1 else [room // 2]


def _frames(path: Path) -> int:
    """So many, counted without decoding them."""
    import av

    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)
