"""Arrays beside the images of an `.npz`."""

import zipfile
from pathlib import Path

import numpy as np

from cache_models.errors import DataError


def arrays_in(path: Path, **kinds: type | None) -> list[np.ndarray] | None:
    """Those of these names, each made of its kind, or left as it is; None where one is not there,
    or `path` is no `.npz`.

    Raises:
        DataError: they cannot be read.
    """
    if path.suffix != ".npz":
        return None
    try:
        with np.load(path, allow_pickle=False) as loaded:
            if not kinds.keys() <= set(loaded.files):
                return None
            return [
                loaded[name] if kind is None else loaded[name].astype(kind)
                for name, kind in kinds.items()
            ]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as an array of {next(iter(kinds))}: {error}"
        ) from error
