"""`--data` may name many things; what cannot be used says so."""

import numpy as np
import pytest
from PIL import Image

from cache_models.base_dnn import ModelDescription
from cache_models.errors import DataError
from cache_models.preprocessing import Preprocessing
from cache_models.samples import open_samples

COLOUR = ModelDescription((3, 16, 16), ("a", "b"), Preprocessing((16, 16)))
TENSORS = ModelDescription((4,), ("a", "b"))


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (6, 24, 20, 3), np.uint8)


def test_a_folder_with_sub_folders_is_read_resized_and_the_corrupt_file_named(tmp_path, pictures):
    for i, picture in enumerate(pictures):
        folder = tmp_path / "data" / f"class{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{i}.png")
    Image.fromarray(pictures[0][..., 0]).save(tmp_path / "data" / "grey.jpg")
    (tmp_path / "data" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (tmp_path / "data" / "notes.txt").write_text("not a picture")
    samples = open_samples(str(tmp_path / "data"), COLOUR, tmp_path / "work")
    assert samples.images.shape == (7, 16, 16, 3)
    assert len(samples.skipped) == 1
    assert "broken.png" in samples.skipped[0]
    assert not samples.in_time


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_are_taken_as_they_are(tmp_path, pictures, suffix):
    file = tmp_path / f"images.{suffix}"
    np.save(file, pictures) if suffix == "npy" else np.savez(file, images=pictures)
    assert np.array_equal(open_samples(str(file), COLOUR, tmp_path).images, pictures)


def test_a_video_is_read_frame_by_frame_and_known_to_be_in_time(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for i in range(5):
            frame = np.full((32, 32, 3), 40 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    samples = open_samples(str(tmp_path / "clip.mp4"), COLOUR, tmp_path / "work")
    assert samples.images.shape == (5, 16, 16, 3)
    assert samples.in_time
    assert np.all(np.diff(samples.images.mean((1, 2, 3))) > 30)


def test_what_cannot_be_used_is_named(tmp_path, pictures):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    np.save(tmp_path / "pictures.npy", pictures)
    np.save(tmp_path / "wide.npy", np.zeros((5, 7), np.float32))
    for data, description, message in [
        ("nowhere", COLOUR, "is not there, or is not 'default', 'sample'"),
        ("empty", COLOUR, "there is none"),
        ("broken.npz", COLOUR, "cannot be read as an array"),
        ("pictures.npy", TENSORS, r"takes float32 \(N, 4\)"),
        ("wide.npy", TENSORS, r"holds float32 \(5, 7\)"),
        ("empty", TENSORS, "takes tensors, not pictures"),
    ]:
        with pytest.raises(DataError, match=message):
            open_samples(str(tmp_path / data), description, tmp_path / "work")
    with pytest.raises(DataError, match="has no data set 'MNISTX'"):
        open_samples("torchvision:MNISTX", COLOUR, tmp_path / "work")
