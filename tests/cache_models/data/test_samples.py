"""`--data` may name many things; what cannot be used says so."""

import struct

import numpy as np
import pytest
from PIL import Image

from cache_models.build.split import split
from cache_models.data.samples import open_samples
from cache_models.data.video import VideoOptions, squares
from cache_models.data.video import pictures as pictures_of
from cache_models.errors import DataError
from cache_models.network.base_dnn import load
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from tests.tiny import images
from workload.traffic.video import Video

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
    assert samples.streams is None


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_are_taken_as_they_are(tmp_path, pictures, suffix):
    file = tmp_path / f"images.{suffix}"
    np.save(file, pictures) if suffix == "npy" else np.savez(file, images=pictures)
    assert np.array_equal(open_samples(str(file), COLOUR, tmp_path).images, pictures)


@pytest.fixture
def clip(tmp_path):
    """Five frames of 48 x 32 pixels, each brighter than the one before, with a blue right edge."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for i in range(5):
            frame = np.full((32, 48, 3), 40 * i, np.uint8)
            frame[:, 32:] = 0, 0, 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return tmp_path / "clip.mp4"


def test_a_video_is_read_frame_by_frame_and_known_to_be_in_time(tmp_path, clip):
    samples = open_samples(str(clip), COLOUR, tmp_path / "work")
    assert samples.images.shape == (5, 16, 16, 3)
    assert not samples.streams.keys.any()
    assert np.all(np.diff(samples.images[..., 0].mean((1, 2))) > 20)


def test_the_halves_of_a_video_are_all_of_it_and_share_nothing(tmp_path, clip):
    whole, first, second = (
        open_samples(f"{clip}{part}", COLOUR, tmp_path / str(i)).images
        for i, part in enumerate(["", "?half=first", "?half=second"])
    )
    assert len(first) == 2
    assert np.array_equal(np.concatenate([first, second]), whole)


def test_crops_of_a_video_lie_at_the_same_places_in_every_frame(tmp_path, clip):
    samples = open_samples(f"{clip}?crops=2&half=second", COLOUR, tmp_path / "work")
    assert samples.images.shape == (6, 16, 16, 3)
    assert samples.streams.keys.tolist()[:4] == [0, 1, 0, 1]
    red, blue = (samples.images[..., channel].mean((1, 2)) for channel in (0, 2))
    assert np.all(np.diff(red[::2]) > 20)
    assert np.all(np.abs(red - blue)[::2] < 20)
    assert np.all((blue - red)[1::2] > 20)


def test_some_of_the_crops_are_those_of_all(tmp_path, clip):
    every = open_samples(f"{clip}?crops=6", COLOUR, tmp_path / "all").images.reshape(
        -1, 6, 16, 16, 3
    )
    some = open_samples(f"{clip}?crops=6&only=4-5", COLOUR, tmp_path / "some")
    assert np.array_equal(some.images.reshape(-1, 2, 16, 16, 3), every[:, 3:5])
    assert some.streams.keys.tolist()[:4] == [0, 1, 0, 1]


ONE = 1 << 16
"""In a file's matrix."""
TURNS = {
    (ONE, 0, 0, ONE): lambda picture: picture,
    (0, ONE, -ONE, 0): lambda picture: np.rot90(picture, -1),  # a phone held upright
    (-ONE, 0, 0, -ONE): lambda picture: np.rot90(picture, 2),
    (0, -ONE, ONE, 0): np.rot90,
    (-ONE, 0, 0, ONE): np.fliplr,  # as in a mirror
    (ONE, 0, 0, -ONE): np.flipud,
    (0, ONE, ONE, 0): lambda picture: picture.swapaxes(0, 1),
}
"""What viewers make of a frame, by the upper left of the matrix."""


@pytest.mark.parametrize("matrix", TURNS)
def test_frames_are_upright_as_every_viewer_shows_them(clip, matrix):
    (as_they_lie, *_) = pictures_of(clip, VideoOptions())
    file = bytearray(clip.read_bytes())
    at = file.index(b"tkhd") + 44  # where a track's matrix stands
    a, b, c, d = matrix
    file[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    clip.write_bytes(file)
    expected = TURNS[matrix](np.asarray(as_they_lie))
    (picture, *_) = pictures_of(clip, VideoOptions())
    assert np.array_equal(np.asarray(picture), expected)
    assert np.array_equal(Video(clip)[0], expected)
    assert Video(clip, channels=1)[0].shape == (*expected.shape[:2], 1)


@pytest.mark.parametrize("size", [(768, 576), (320, 240), (200, 400), (100, 100)])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 9, 12])
def test_crops_are_squares_within_the_frame_and_overlap_their_neighbours_by_half(size, count):
    boxes = squares(size, count)
    assert len(boxes) == count
    side = boxes[0][2] - boxes[0][0]
    assert all((r - x, b - y) == (side, side) for x, y, r, b in boxes)
    assert all(min(x, y) >= 0 and r <= size[0] and b <= size[1] for x, y, r, b in boxes)
    for axis in (0, 1):
        places = sorted({box[axis] for box in boxes})
        assert all(np.diff(places) <= side / 2 + 1)


def test_what_cannot_be_used_is_named(tmp_path, pictures):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    (tmp_path / "clip.avi").write_bytes(b"RIFF nothing")
    np.save(tmp_path / "pictures.npy", pictures)
    np.save(tmp_path / "wide.npy", np.zeros((5, 7), np.float32))
    for data, description, message in [
        ("nowhere", COLOUR, "is not there, or is not 'default', 'trained', 'sample'"),
        ("empty", COLOUR, "there is none"),
        ("broken.npz", COLOUR, "cannot be read as an array"),
        ("pictures.npy", TENSORS, r"takes float32 \(N, 4\)"),
        ("wide.npy", TENSORS, r"holds float32 \(5, 7\)"),
        ("empty", TENSORS, "takes tensors, not pictures"),
        ("clip.avi?crops=many", COLOUR, "crops: .*valid integer.*A video is"),
        ("clip.avi?half=third", COLOUR, "half: .*'first' or 'second'"),
        ("clip.avi?crops=6&only=4-7", COLOUR, "only=4-7 is not within 1-6"),
        ("clip.avi?only=first", COLOUR, "only: .*match pattern"),
        ("clip.avi?speed=2", COLOUR, "speed: Extra inputs are not permitted"),
        ("clip.avi?", COLOUR, "no picture could be read"),
    ]:
        with pytest.raises(DataError, match=message):
            open_samples(str(tmp_path / data), description, tmp_path / "work")
    with pytest.raises(DataError, match="has no data set 'MNISTX'"):
        open_samples("torchvision:MNISTX", COLOUR, tmp_path / "work")


def labelled():
    return images(9), np.zeros(9, np.int64)


def test_a_function_of_the_users_own_names_images(tmp_path, monkeypatch):
    description = load("tests.tiny:tiny").description
    monkeypatch.setattr("tests.tiny.labelled", labelled, raising=False)
    monkeypatch.setattr("tests.tiny.bare", lambda: images(9), raising=False)
    for name in ("tests.tiny:labelled", "tests.tiny:bare"):
        assert np.array_equal(open_samples(name, description, tmp_path).images, images(9))
    for name, message in [
        ("nowhere.at.all:images", "cannot be imported .*<function that returns images>"),
        ("tests.tiny:nothing", "cannot be imported"),
        ("tests.tiny:images", "its function failed .*missing 1 required positional argument"),
        ("tests.tiny:tiny", "returned tuple; it must return an array of images"),
    ]:
        with pytest.raises(DataError, match=message):
            open_samples(name, description, tmp_path)


def test_the_shipped_test_images_have_a_short_name(tmp_path):
    names = "sample", "cache_models.zoo.fashion:sample"
    short, long = (open_samples(name, COLOUR, tmp_path).images for name in names)
    assert len(short) and np.array_equal(short, long)


def test_images_that_only_train_do_nothing_else(tmp_path):
    np.save(tmp_path / "data.npy", images(1000))
    np.save(tmp_path / "more.npy", images(300, seed=1))
    description = load("tests.tiny:tiny").description
    more = str(tmp_path / "more.npy")
    samples = open_samples(str(tmp_path / "data.npy"), description, tmp_path / "work", more)
    assert samples.train_only == 300
    assert np.array_equal(samples.images[:1000], images(1000))
    assert np.array_equal(samples.images[1000:], images(300, seed=1))
    train, select, calibrate = split(samples)
    alone = split(open_samples(str(tmp_path / "data.npy"), description, tmp_path / "alone"))
    assert np.array_equal(train, [*alone[0], *range(1000, 1300)])
    assert np.array_equal(select, alone[1]) and np.array_equal(calibrate, alone[2])

    np.save(tmp_path / "many.npy", images(1000, seed=2))
    many = str(tmp_path / "many.npy")
    samples = open_samples(str(tmp_path / "data.npy"), description, tmp_path / "work", many)
    assert [len(part) for part in split(samples)] == [1200, 200, 600]

    np.save(tmp_path / "other.npy", np.zeros((5, 3, 3, 1), np.uint8))
    with pytest.raises(DataError, match="must be alike"):
        open_samples(
            str(tmp_path / "data.npy"), description, tmp_path / "work", str(tmp_path / "other.npy")
        )


def test_no_more_train_than_a_build_has_time_for(tmp_path, monkeypatch):
    monkeypatch.setattr("cache_models.data.samples.MOST_TRAIN_ONLY", 50)
    np.save(tmp_path / "data.npy", images(100))
    np.save(tmp_path / "more.npy", images(300, seed=1))
    description = load("tests.tiny:tiny").description
    names = str(tmp_path / "data.npy"), description, tmp_path / "work", str(tmp_path / "more.npy")
    samples = open_samples(*names)
    assert len(samples.images) == 150
    given = {image.tobytes() for image in images(300, seed=1)}
    assert {image.tobytes() for image in samples.images[100:]} <= given
    assert np.array_equal(samples.images, open_samples(*names).images)
