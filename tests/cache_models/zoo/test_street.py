"""Who is in which zone."""

import numpy as np
import pytest

from cache_models.zoo.street.occupancy import CLASSES, ZONES, occupancy

cv2 = pytest.importorskip("cv2")


def test_what_moves_is_counted_where_it_is(tmp_path):
    """Two bright squares walk over a dark street: one on the left, one on the right."""
    size, frames = (384, 288), 160
    out = cv2.VideoWriter(str(tmp_path / "s.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    rng = np.random.default_rng(0)
    for i in range(frames):
        frame = rng.integers(20, 30, (size[1], size[0], 3)).astype(np.uint8)
        if i >= 120:
            for left in (20, 320):
                frame[20 + i : 60 + i, left : left + 40] = 220
        out.write(frame)
    out.release()
    counted = occupancy(tmp_path / "s.avi")
    assert counted.shape == (frames, ZONES)
    assert not counted[20:120].any()
    seen = counted[150].reshape(4, 6)  # the zones overlap, as do those of a row their neighbours
    assert CLASSES[seen[2, 0]] == CLASSES[seen[2, 5]] == "one"
    assert not seen[:, 2:4].any()
