"""A sheet shows the first pictures of a stream on the left, the last on the right."""

import numpy as np
from PIL import Image

from workload.traffic.sheet import EACH, MOMENTS, SIDE, draw


def test_a_sheet_goes_from_the_first_request_to_the_last(tmp_path):
    pictures = np.zeros((300, 28, 28, 3), np.uint8) + np.linspace(0, 250, 300).astype(
        np.uint8
    ).reshape(-1, 1, 1, 1)
    draw(pictures, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[0] == EACH * SIDE
    assert sheet[0, 0, 0] == 0 and sheet[-1, -1, 0] == 250
    columns = [int(sheet[0, x, 0]) for x in np.linspace(0, sheet.shape[1] - 1, MOMENTS).astype(int)]
    assert columns == sorted(columns)
