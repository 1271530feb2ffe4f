"""A contact sheet: what a stream sends at some moments."""

from pathlib import Path

import numpy as np
from PIL import Image

from workload.errors import ParameterError
from workload.samples import Sample, Samples, is_picture

MOMENTS, EACH, SIDE, GAP = 6, 5, 56, 4
"""Columns, pictures in each; pixels of a picture's sides, and between columns."""


def draw(samples: Samples, file: Path) -> None:
    """A column for each moment, evenly from the first request to the last; in it, as many requests
    in a row.

    Args:
        samples: of the requests, in order, at least `EACH`.

    Raises:
        ParameterError: they are no pictures.
    """
    width = MOMENTS * (SIDE + GAP) - GAP
    grey = _picture(samples[0]).shape[2] == 1
    sheet = Image.new("L" if grey else "RGB", (width, EACH * SIDE), "white")
    for column, start in enumerate(np.linspace(0, len(samples) - EACH, MOMENTS).astype(int)):
        for row in range(EACH):
            sent = _picture(samples[start + row])
            picture = Image.fromarray(sent[..., 0] if grey else sent)
            sheet.paste(picture.resize((SIDE, SIDE)), (column * (SIDE + GAP), row * SIDE))
    sheet.save(file)


def _picture(sample: Sample) -> np.ndarray:
    if not is_picture(sample):
        raise ParameterError("the data hold no pictures, of which one could be drawn")
    return sample
