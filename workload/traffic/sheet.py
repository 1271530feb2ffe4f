"""A contact sheet: what a stream sends at some moments."""

from pathlib import Path

import numpy as np
from PIL import Image

from workload.traffic.images import Images

MOMENTS, EACH, SIDE, GAP = 6, 5, 56, 4
"""Columns, pictures in each; pixels of a picture's sides, and between columns."""


def draw(pictures: Images, file: Path) -> None:
    """A column for each moment, evenly from the first request to the last; in it, as many requests
    in a row.

    Args:
        pictures: of the requests, in order, at least `EACH`.
    """
    width = MOMENTS * (SIDE + GAP) - GAP
    grey = pictures[0].shape[2] == 1
    sheet = Image.new("L" if grey else "RGB", (width, EACH * SIDE), "white")
    for column, start in enumerate(np.linspace(0, len(pictures) - EACH, MOMENTS).astype(int)):
        for row in range(EACH):
            sent = pictures[start + row]
            picture = Image.fromarray(sent[..., 0] if grey else sent)
            sheet.paste(picture.resize((SIDE, SIDE)), (column * (SIDE + GAP), row * SIDE))
    sheet.save(file)
