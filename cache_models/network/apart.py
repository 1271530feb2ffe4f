"""Decode in a process of its own, which starts in about 0.3 s: pictures where the decoder would
hold the interpreter for all that time, as Pillow's of WebP does, 0.3 s for 49 megapixels, and
sounds where it would lose memory.

    python -m cache_models.network.apart '<preprocessing as JSON>' < picture > resized.npy
"""

import dataclasses
import io
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

from cache_models.network.pixels import flat, open_picture
from cache_models.network.preprocessing import Preprocessing

HOLDING = ("WEBP",)
"""Formats, as Pillow names them."""
NICE = 10
"""Small pictures come first, from the process's start on."""


def resized(data: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """What `Preprocessing.resize_picture` makes of a picture's file, `(H, W, 1 or 3)` uint8.

    Raises:
        ValueError: the file is damaged.
    """
    return array(__name__, json.dumps(dataclasses.asdict(preprocessing)), data)


def array(module: str, argument: str, data: bytes) -> np.ndarray:
    """What `python -m module argument < data` writes, as `np.save` does.

    Raises:
        ValueError: its last words, where it fails.
    """
    command = [sys.executable, "-m", module, argument]
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        made, said = process.communicate(data)
    if process.returncode:
        raise ValueError((said.decode(errors="replace").splitlines() or ["no reason"])[-1])
    return np.load(io.BytesIO(made), allow_pickle=False)


def _main() -> None:
    given = json.loads(sys.argv[1])
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }
    preprocessing = Preprocessing(**values)
    picture = flat(
        open_picture(sys.stdin.buffer.read()), len(preprocessing.mean), preprocessing.background
    )
    np.save(sys.stdout.buffer, preprocessing.resize_picture(picture))


if __name__ == "__main__":
    _main()
