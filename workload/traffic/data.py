"""The data that requests are made of: what `--data` may name.

- `sample`: the shipped test images of Fashion-MNIST, with labels;
- `test`: all of its test images, with labels;
- a folder of images, of sounds or of texts, with or without sub-folders, whose names are then the
  labels, as `workload.traffic.files` reads it; or a `.txt` or `.jsonl` file of texts;
- a video file, frame by frame (with the extra `video`), or crops of its frames, as
  `cache_models.data.video` names them; or a folder of videos, of which each is a camera;
- an `.npy` or `.npz` file of an array `(N, h, w, C)` uint8, or of `(N, *input_shape)` float32 for
  a base DNN that takes tensors; an `.npz` may hold `labels`, `(N,)`.

Samples are read when they are asked for, so that memory stays bounded whatever their number; but
texts all at once. They are sent as they are: resizing and resampling are the server's part.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache_models.data import video
from cache_models.data.read import TEXTS
from cache_models.data.samples import IMAGES, array_in, labels_in
from cache_models.errors import DataError
from cache_models.network.waveform import SUFFIXES as SOUNDS
from cache_models.paths import files_under
from workload.samples import Joined, Samples
from workload.traffic import files
from workload.traffic.video import Crops, Video

FORMS = (
    "'sample', 'test', a folder of images, sounds, texts or videos, a .txt or .jsonl file of "
    "texts, a video file, or an .npy or .npz file"
)


@dataclass(frozen=True)
class Data:
    """
    Attributes:
        samples: pictures, sounds, texts or tensors, by index.
        labels: the true classes, `(N,)`; None where they are not known.
        classes: the labels' names, where the data have their own; else labels are as the base
            DNN's.
        times_s: of videos' frames, the first of each 0, `(N,)`.
        sources: whose each is, `(N,)` int64: which crop of which video, or which speaker; None
            where that is not known.
        skipped: what cannot be read, and why.
    """

    samples: Samples
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    times_s: np.ndarray | None = None
    sources: np.ndarray | None = None
    skipped: tuple[str, ...] = ()

    def true_labels(self, classes: Sequence[str]) -> np.ndarray | None:
        """The labels as a base DNN with these `classes` counts them; None where they are not."""
        if self.labels is None or self.classes is None:
            return self.labels
        ids = {name: i for i, name in enumerate(classes)}
        if not ids.keys() >= set(self.classes):
            return None
        return np.array([ids[name] for name in self.classes])[self.labels]


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
    path, query = Path(name), name.partition("?")[2]
    if name == "sample":
        images, labels = sample()
        return Data(images, labels)
    if name == "test":
        images, labels = fashion_mnist(train=False)
        return Data(images, labels)
    if films := _films(name):
        return _frames(films, query, channels)
    if path.is_dir() or (path.suffix in TEXTS and path.is_file()):
        return _of_files(path, channels)
    if path.suffix in (".npy", ".npz") and path.is_file():
        images, known = array_in(path), labels_in(path)
        _check(name, images, known)
        return Data(images, known)
    raise DataError(f"data {name!r} is not there, or is not {FORMS}")


def _films(name: str) -> list[str]:
    """Files of videos, where `name` is one or a folder of them."""
    path = Path(name.partition("?")[0])
    if video.parse(str(path)):
        return [str(path)]
    if not path.is_dir() or files_under(path, IMAGES | SOUNDS | TEXTS):
        return []
    return [str(film) for film in files_under(path, video.SUFFIXES)]


def _frames(films: list[str], query: str, channels: int) -> Data:
    """Of one video after the other; each crop of each is a source."""
    parts: list[Samples] = []
    times_s: list[np.ndarray] = []
    sources: list[np.ndarray] = []
    for film in films:
        named = video.parse(f"{film}?{query}" if query else film)
        assert named is not None, "it is a video"
        file, options = named
        whole = Video(file, channels)
        part = Crops(whole, options) if options.crops or options.half else whole
        before = 1 + int(sources[-1].max()) if sources else 0
        parts.append(part)
        times_s.append(part.times_s)
        sources.append(before + np.arange(len(part)) % options.views)
    samples = parts[0] if len(parts) == 1 else Joined(parts)
    return Data(samples, times_s=np.concatenate(times_s), sources=np.concatenate(sources))


def _of_files(path: Path, channels: int) -> Data:
    found = files.found(path, channels)
    labels = sources = classes = None
    if all(found.labels):
        names, labels = np.unique(found.labels, return_inverse=True)
        classes, labels = tuple(names.tolist()), labels.astype(np.int64)
    if all(found.speakers):
        sources = np.unique(found.speakers, return_inverse=True)[1].astype(np.int64)
    return Data(found.samples, labels, classes, None, sources, tuple(found.skipped))


def _check(name: str, images: np.ndarray, labels: np.ndarray | None) -> None:
    picture = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3)
    if not len(images) or not (picture or (images.dtype == np.float32 and images.ndim > 1)):
        raise DataError(
            f"{name} holds {images.dtype} {images.shape}; it may hold uint8 (N, h, w, 1 or 3) or "
            f"float32 (N, ...)"
        )
    if labels is not None and labels.shape != (len(images),):
        raise DataError(f"{name} holds {len(images)} images and labels {labels.shape}")
