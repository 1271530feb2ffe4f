"""Labelled images by name: Fashion-MNIST from wherever this machine has it."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np

from cache_models.errors import DataError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

FASHION_CLASSES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def cache_home() -> Path:
    """The folder for what is made or fetched on demand (`GATI_HOME`, else `~/.cache/gati`).

    Raises:
        DataError: neither is there.
    """
    try:
        return Path(os.environ.get("GATI_HOME") or "~/.cache/gati").expanduser()
    except RuntimeError as error:  # nobody's home
        raise DataError(
            "there is no home folder to keep what is made or fetched in: set HOME, or GATI_HOME to "
            "the path of a folder"
        ) from error


def fashion_mnist(train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST as images `(N, 28, 28, 1)` uint8 and labels `(N,)` int64.

    Taken from the cache folder, else from Debian's package `dataset-fashion-mnist`,
    else downloaded by torchvision.

    Raises:
        DataError: it is on no disk and cannot be downloaded.
    """
    from torchvision.datasets import FashionMNIST

    root = cache_home()
    raw = root / "FashionMNIST" / "raw"
    if not raw.exists() and DEBIAN_FASHION_MNIST.exists():
        _unpack(DEBIAN_FASHION_MNIST, raw)
    try:
        data = FashionMNIST(root, train=train, download=True)
    except Exception as error:
        raise DataError(
            f"Fashion-MNIST is neither in {raw} nor in {DEBIAN_FASHION_MNIST}, and the download "
            f"failed ({error}). Install Debian's package dataset-fashion-mnist, or put the "
            f"unpacked files into {raw}."
        ) from error
    return data.data.numpy()[..., None], data.targets.numpy()


def _unpack(source: Path, target: Path) -> None:
    partial = target.with_name(f"raw.{os.getpid()}")
    partial.mkdir(parents=True)
    for archive in source.glob("*.gz"):
        with gzip.open(archive) as packed, open(partial / archive.stem, "wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    partial.replace(target)
