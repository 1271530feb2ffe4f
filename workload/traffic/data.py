"""The data that requests are made of: what `--data` may name.

- `sample`: the shipped test images of Fashion-MNIST, with labels;
- `test`: all of its test images, with labels;
- a folder of images, with or without sub-folders, whose names are then the labels;
- a video file, frame by frame (with the extra `video`), or crops of its frames, as
  `cache_models.data.video` names them;
- an `.npy` or `.npz` file of an array `(N, h, w, C)` uint8, or of `(N, *input_shape)` float32 for
  a base DNN that takes tensors; an `.npz` may hold `labels`, `(N,)`.

Pictures are read when they are asked for, so that memory stays bounded whatever their number. They
are sent as they are, of their own size: resizing is the server's part.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache_models.data.samples import IMAGES, array_in, labels_in
from cache_models.data.video import parse
from cache_models.errors import DataError
from cache_models.network.pixels import open_picture, pixels
from cache_models.paths import files_under
from workload.traffic.images import Images
from workload.traffic.video import Crops, Video

FORMS = "'sample', 'test', a folder of images, a video file, or an .npy or .npz file"


@dataclass(frozen=True)
class Data:
    """
    Attributes:
        images: gives `(h, w, C)` uint8, or a float32 tensor, by index.
        labels: the true classes, `(N,)`; None where they are not known.
        classes: the labels' names, where the data have their own; else labels are as the base
            DNN's.
        times_s: of a video's frames, the first 0, `(N,)`.
        skipped: files that are no pictures, and why.
    """

    images: Images
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    times_s: np.ndarray | None = None
    skipped: tuple[str, ...] = ()

    def true_labels(self, classes: Sequence[str]) -> np.ndarray | None:
        """The labels as a base DNN with these `classes` counts them; None where they are not."""
        if self.labels is None or self.classes is None:
            return self.labels
        ids = {name: i for i, name in enumerate(classes)}
        if not ids.keys() >= set(self.classes):
            return None
        return np.array([ids[name] for name in self.classes])[self.labels]


class Folder(Images):
    """A folder's pictures, decoded when they are asked for."""

    def __init__(self, paths: Sequence[Path], channels: int):
        self._paths, self._channels = paths, channels

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        """
        Raises:
            DataError: the file is damaged.
        """
        path = self._paths[index]
        try:
            with open_picture(path.read_bytes()) as image:
                return pixels(image, self._channels)
        except Exception as error:
            raise DataError(f"{path} cannot be read as a picture: {error}") from error


def open_data(name: str, channels: int = 3) -> Data:
    """The data that `name` stands for.

    Args:
        channels: that the base DNN takes; 1 turns coloured pictures and frames to grey.

    Raises:
        DataError: there are none.
    """
    from cache_models.data.datasets import fashion_mnist
    from cache_models.zoo.fashion import sample

    name = os.path.expanduser(name)
    path = Path(name)
    if name == "sample":
        images, labels = sample()
        return Data(images, labels)
    if name == "test":
        images, labels = fashion_mnist(train=False)
        return Data(images, labels)
    if path.is_dir():
        return _folder(path, channels)
    if found := parse(name):
        file, options = found
        video = Video(file, channels)
        frames = Crops(video, options) if options.crops or options.half else video
        return Data(frames, times_s=frames.times_s)
    if path.suffix in (".npy", ".npz") and path.is_file():
        images, known = array_in(path), labels_in(path)
        _check(name, images, known)
        return Data(images, known)
    raise DataError(f"data {name!r} is not there, or is not {FORMS}")


def _folder(path: Path, channels: int) -> Data:
    paths, skipped = [], []
    for file in files_under(path, IMAGES):
        try:
            open_picture(file.read_bytes()).close()  # decodes nothing
            paths.append(file)
        except Exception as error:
            skipped.append(f"{file}: {error}")
    if not paths:
        raise DataError(f"{path} holds no readable picture ({'; '.join(skipped[:5]) or 'none'})")
    images = Folder(paths, channels)
    if any(p.parent == path for p in paths):
        return Data(images, skipped=tuple(skipped))
    names = [p.relative_to(path).parts[0] for p in paths]
    classes, labels = np.unique(names, return_inverse=True)
    return Data(images, labels.astype(np.int64), tuple(classes.tolist()), skipped=tuple(skipped))


def _check(name: str, images: np.ndarray, labels: np.ndarray | None) -> None:
    picture = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3)
    if not len(images) or not (picture or (images.dtype == np.float32 and images.ndim > 1)):
        raise DataError(
            f"{name} holds {images.dtype} {images.shape}; it may hold uint8 (N, h, w, 1 or 3) or "
            f"float32 (N, ...)"
        )
    if labels is not None and labels.shape != (len(images),):
        raise DataError(f"{name} holds {len(images)} images and labels {labels.shape}")
