"""Paths as users write them."""

import os
from pathlib import Path

import click


class UserPath(click.Path):
    """An option's path, in which `~` is the home folder also where the shell leaves it alone, as in
    `--out=~/store`."""

    def __init__(self, exists: bool = False, file_okay: bool = True, dir_okay: bool = True):
        super().__init__(exists, file_okay, dir_okay, path_type=Path)

    def convert(self, value, param, ctx):
        try:
            value = Path(value).expanduser()
        except RuntimeError as error:  # nobody's home
            self.fail(f"{value}: {error}", param, ctx)
        return super().convert(value, param, ctx)


class StorePath(UserPath):
    """An option's store: a folder's path, or a URL as fsspec takes it, which stays a text."""

    def convert(self, value, param, ctx):
        return value if "://" in str(value) else super().convert(value, param, ctx)


def files_under(folder: Path, suffixes: set[str]) -> list[Path]:
    """Those in a folder and its sub-folders, also behind links, in order.

    A folder that is reached on several ways counts once, so that links in a circle end.
    """
    found, seen = [], set()
    for where, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(where)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        found += [Path(where, name) for name in files if Path(name).suffix.lower() in suffixes]
    return sorted(found)
