"""Samples to learn from: what `--data` may name.

- a folder of images, with or without sub-folders, which may be links; for a base DNN that takes
  sounds, of sound files;
- for one that takes texts, a file with a text a line, or with a JSON object a line: its key `text`,
  or a folder of such files;
- a `.jsonl` file with the key `file` in every line: a picture or a sound, by its path from there;
- in a `.jsonl`, where all lines are of streams, `stream` (a name) and `at` (seconds), too;
- an `.npy` or `.npz` file of an array `(N, h, w, C)` uint8 or `(N, *input_shape)` float32; in an
  `.npz` may be `streams` and `at`, too, `(N,)` each;
- a video file, frame by frame (with the extra `video`), or a half of it, or crops of its frames:
  `street.avi?crops=6&half=first`;
- `torchvision:<dataset>`, such as `torchvision:CIFAR10`: its training part;
- `<package.module>:<function>`: a function without arguments that returns such an array, or one and
  its labels, which nothing here reads;
- short names of such functions, for the shipped base DNN: `default`, the images that it has not
  seen; `trained`, those that it was trained on; `sample`, the shipped test images, which tuned
  nothing.

Pictures are resized to the base DNN's size as serving would do it and written to a memory-mapped
file, so that memory stays bounded whatever their number.
"""

import os
import pkgutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from cache_models.data import read, video
from cache_models.data.npz import arrays_in
from cache_models.data.rows import written
from cache_models.data.streams import Streams, streams_in
from cache_models.errors import CacheModelsError, DataError
from cache_models.network.description import ModelDescription
from cache_models.network.pixels import flat, open_picture
from cache_models.network.preprocessing import Preprocessing
from cache_models.paths import files_under

IMAGES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Endings of files that may be pictures; whether they are, their content says."""
NAMES = {
    "default": "cache_models.zoo.fashion:held_out",
    "trained": "cache_models.zoo.fashion:trained_on",
    "sample": "cache_models.zoo.fashion:sample",
}
"""Short names of functions."""
FORMS = (
    "'default', 'trained', 'sample', a folder of images, sounds or texts, a .txt, .jsonl, .npy or "
    ".npz file, a video file, torchvision:<dataset>, or "
    "<package.module>:<function that returns images>"
)

MOST_TRAIN_ONLY = 50_000
"""Of the images that train and do nothing else: asking the base DNN about more takes long."""


@dataclass(frozen=True)
class Samples:
    """
    Attributes:
        images: `(N, h, w, C)` uint8, or `(N, *input_shape)` float32.
        streams: of which they are, so that they may depend on their neighbours; None where
            they know nothing of each other.
        skipped: what could not be read, and why.
        train_only: so many of the last must do nothing but train: those that the base DNN was
            trained on, say, to which it answers otherwise than to new ones.
    """

    images: np.ndarray
    streams: Streams | None = None
    skipped: list[str] = field(default_factory=list)
    train_only: int = 0


def open_samples(
    name: str, description: ModelDescription, folder: Path, train_data: str | None = None
) -> Samples:
    """The samples that `name` stands for.

    Args:
        folder: for the memory-mapped file of resized pictures; it must outlive the samples.
        train_data: names more, which are to train and nothing else; `MOST_TRAIN_ONLY` of them at
            most, drawn at random with a fixed seed.

    Raises:
        DataError: there are none, or they are not what the base DNN takes.
    """
    samples = _open(name, description, folder)
    if train_data is None:
        return samples
    return _joined(samples, _open(train_data, description, folder / "train"), folder)


def _joined(samples: Samples, more: Samples, folder: Path) -> Samples:
    """Both in one memory-mapped file, the second to train only."""
    first, second = samples.images, more.images
    if (first.shape[1:], first.dtype) != (second.shape[1:], second.dtype):
        raise DataError(
            f"the images to train on are {second.dtype} {second.shape[1:]}, the others "
            f"{first.dtype} {first.shape[1:]}; they must be alike"
        )
    rows = np.arange(len(second))
    if len(rows) > MOST_TRAIN_ONLY:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_TRAIN_ONLY, replace=False))
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(first) + len(rows), *first.shape[1:])
    joined = np.lib.format.open_memmap(folder / "joined.npy", "w+", first.dtype, shape)
    joined[: len(first)] = first
    for at in range(0, len(rows), 1000):
        part = rows[at : at + 1000]
        joined[len(first) + at : len(first) + at + len(part)] = second[part]
    joined.flush()
    streams = None if samples.streams is None else samples.streams.and_others(len(rows))
    return Samples(joined, streams, samples.skipped + more.skipped, len(rows))


def _open(name: str, description: ModelDescription, folder: Path) -> Samples:
    name = os.path.expanduser(name)
    path = Path(name)
    if path.suffix in (".npy", ".npz") and path.is_file():
        samples = Samples(array_in(path), streams_in(path))
    elif description.reader is not None and (files := read.files(description.reader, path)):
        file, shape = folder / "samples.f32", description.input_shape
        inputs, skipped = written(
            read.rows(files), shape, np.float32, file, "file", total=len(files)
        )
        samples = _of_streams(inputs, skipped, path)
    elif path.is_dir() or (paths := read.listed(path)):
        paths = files_under(path, IMAGES) if path.is_dir() else paths
        pictures = _pictures(paths, description.preprocessing)
        samples = _of_streams(*_resized(pictures, description, folder), path)
    elif found := video.parse(name):
        images, skipped = _resized(video.pictures(*found), description, folder)
        views, rate = found[1].views, video.rate(found[0])
        streams = Streams.of_frames(len(images), views, rate)
        samples = Samples(images, streams, list(skipped.values()))
    elif name.startswith("torchvision:"):
        pictures = _torchvision(name.removeprefix("torchvision:"))
        images, skipped = _resized(pictures, description, folder)
        samples = Samples(images, skipped=list(skipped.values()))
    elif ":" in (function := NAMES.get(name, name)):
        samples = Samples(_returned_by(function))
    else:
        raise DataError(f"data {name!r} is not there, or is not {FORMS}")
    _check(name, samples.images, description)
    return samples


def _of_streams(images: np.ndarray, skipped: dict[int, str], path: Path) -> Samples:
    """Read from `path`, which may say of which streams they are."""
    streams = None
    if (of_all := read.keys(path)) is not None:
        streams = Streams(*(np.delete(values, list(skipped)) for values in of_all))
    return Samples(images, streams, list(skipped.values()))


def _check(name: str, images: np.ndarray, description: ModelDescription) -> None:
    preprocessing = description.preprocessing
    if images.dtype == np.uint8 and preprocessing is not None:
        channels = len(preprocessing.mean)
        if images.ndim == 4 and images.shape[3] in {1, channels}:
            return
        expected = f"uint8 (N, h, w, 1 or {channels})"
    else:
        if images.dtype == np.float32 and images.shape[1:] == tuple(description.input_shape):
            return
        expected = f"float32 {('N', *description.input_shape)}".replace("'", "")
    raise DataError(f"{name} holds {images.dtype} {images.shape}; the base DNN takes {expected}")


def array_in(path: Path) -> np.ndarray:
    """The array in an `.npy`, memory-mapped, or an `.npz`: its `images`, or else its first.

    Raises:
        DataError: it cannot be read.
    """
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            name = "images" if "images" in loaded.files else loaded.files[0]
            return loaded[name]
    except (OSError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an array of images: {error}") from error


def labels_in(path: Path) -> np.ndarray | None:
    """`labels` in an `.npz`, int64; None where there are none.

    Raises:
        DataError: they cannot be read.
    """
    found = arrays_in(path, labels=np.int64)
    return None if found is None else found[0]


def _resized(
    pictures: Iterator[Image.Image | str],
    description: ModelDescription,
    folder: Path,
) -> tuple[np.ndarray, dict[int, str]]:
    """Each picture, resized, in one file, as of `written`; a text in place of a picture says why it
    is not there."""
    preprocessing = description.preprocessing
    if preprocessing is None:
        raise DataError(
            "the base DNN takes tensors, not pictures: give an .npy of its float32 inputs"
        )
    shape = (*preprocessing.kept_size, len(preprocessing.mean))
    rows = (
        picture if isinstance(picture, str) else _resize(picture, preprocessing, shape)
        for picture in pictures
    )
    return written(rows, shape, np.uint8, folder / "samples.u8", "picture")


def _resize(
    picture: Image.Image, preprocessing: Preprocessing, shape: tuple[int, ...]
) -> np.ndarray:
    resized = preprocessing.shrink_picture(flat(picture, shape[2], preprocessing.background))
    return np.ascontiguousarray(np.broadcast_to(resized, shape))


def _pictures(
    paths: Iterable[Path], preprocessing: Preprocessing | None
) -> Iterator[Image.Image | str]:
    assert preprocessing is not None, "pictures are read for models that take some"
    for path in paths:
        try:
            with open_picture(path.read_bytes()) as image:
                yield flat(image, len(preprocessing.mean), preprocessing.background)
        except Exception as error:
            yield f"{path}: {error}"


def _returned_by(reference: str) -> np.ndarray:
    try:
        function = pkgutil.resolve_name(reference)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(
            f"data {reference!r} is not there and cannot be imported ({error}). It may be {FORMS}; "
            f"a package must be on PYTHONPATH"
        ) from error
    try:
        returned = function()
    except CacheModelsError:
        raise
    except Exception as error:
        raise DataError(f"data {reference!r}: its function failed ({error})") from error
    match returned:
        case np.ndarray() as images:
            return images
        case np.ndarray() as images, np.ndarray():
            return images
    raise DataError(
        f"{reference} returned {type(returned).__name__}; it must return an array of images, "
        f"or (images, labels)"
    )


def _torchvision(name: str) -> Iterator[Image.Image | str]:
    from torchvision import datasets

    from cache_models.data.datasets import cache_home

    kind = getattr(datasets, name, None)
    if name not in datasets.__all__ or kind is None:
        raise DataError(f"torchvision has no data set {name!r}; data may be {FORMS}")
    try:
        data = kind(cache_home(), download=True)
    except Exception as error:
        raise DataError(f"torchvision's {name} cannot be had: {error}") from error
    for item in data:
        picture = item[0]
        yield picture if isinstance(picture, Image.Image) else f"{name}: not a picture"
