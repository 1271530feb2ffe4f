"""Data are read when they are asked for, with the labels that are known."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cache_models.errors import DataError
from workload.traffic.data import open_data


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), np.uint8)


def test_a_folder_gives_pictures_of_their_own_size_and_sub_folders_label_them(tmp_path, pictures):
    for i, picture in enumerate(pictures):
        folder = tmp_path / ("cat" if i % 2 else "dog")
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture[: 4 + i]).save(folder / f"{i}.png")
    (tmp_path / "dog" / "broken.png").write_bytes(b"no picture")
    data = open_data(str(tmp_path))
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(data.samples[0], pictures[1, :5])
    assert data.true_labels(("dog", "cow", "cat")).tolist() == [2, 2, 2, 0, 0, 0]
    assert data.true_labels(("dog", "cow")) is None
    assert "broken.png" in data.skipped[0]
    assert open_data(str(tmp_path), channels=1).samples[0].shape == (5, 7, 1)


def test_pictures_without_sub_folders_have_no_labels(tmp_path, pictures):
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    data = open_data(str(tmp_path))
    assert len(data.samples) == 1 and data.labels is None


def test_arrays_with_and_without_labels(tmp_path, pictures):
    np.save(tmp_path / "a.npy", pictures)
    np.savez(tmp_path / "a.npz", images=pictures, labels=np.arange(6))
    assert open_data(str(tmp_path / "a.npy")).labels is None
    data = open_data(str(tmp_path / "a.npz"))
    assert np.array_equal(data.samples, pictures)
    assert data.true_labels(("one", "two")).tolist() == list(range(6))


@pytest.fixture
def film(tmp_path):
    """250 frames, each as bright as its number, the right half black."""
    av = pytest.importorskip("av")
    file = tmp_path / "v.avi"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.width, stream.height = 64, 32
        for i in range(250):
            frame = np.full((32, 64, 3), i, np.uint8)
            frame[:, 32:] = 0
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file


def test_crops_of_a_videos_second_half_are_told_frame_by_frame(film):
    data = open_data(f"{film}?crops=2&half=second")
    assert len(data.samples) == 2 * 125
    assert np.allclose(data.times_s[:4], [0, 0, 0.05, 0.05])
    for frame in (0, 7, 124):
        left, right = data.samples[2 * frame], data.samples[2 * frame + 1]
        assert left.shape == right.shape == (32, 32, 3)
        assert left[:, :8].mean() == pytest.approx(125 + frame, abs=6)
        assert right[:, -8:].mean() < 10


def test_some_crops_of_a_video_are_as_many_cameras(film):
    some, every = open_data(f"{film}?crops=6&only=5-6"), open_data(f"{film}?crops=6")
    assert len(some.samples) == 2 * 250 and set(some.sources) == {0, 1}
    assert np.array_equal(some.samples[3], every.samples[6 + 5])


def test_a_video_gives_its_frames_in_any_order_and_their_times(film):
    data = open_data(str(film))
    assert len(data.samples) == 250 and data.labels is None
    assert np.allclose(np.diff(data.times_s), 0.05)
    for i in (3, 4, 240, 110, 4, 249, 0):
        assert data.samples[i].shape == (32, 64, 3)
        assert abs(data.samples[i][:, :24].mean() - i) < 4
    data.samples.close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere", "is not there, or is not"),
        ("empty", "no readable picture"),
        ("f.npy", "float64"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, name, says):
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "f.npy", np.zeros((3, 4)))
    with pytest.raises(DataError, match=says):
        open_data(str(tmp_path / name))


def test_sounds_are_known_by_folder_and_by_speaker(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for speaker, word, rate in (("speaker-2", "yes", 8_000), ("speaker-1", "no", 16_000)):
        folder = tmp_path / word / speaker
        folder.mkdir(parents=True)
        soundfile.write(folder / "1.wav", np.full((rate, 2), 0.25, np.float32), rate)
    (tmp_path / "yes" / "ab12_nohash_0.wav").write_bytes(b"no sound")
    data = open_data(str(tmp_path))
    assert data.classes == ("no", "yes") and data.labels.tolist() == [0, 1]
    assert data.sources.tolist() == [0, 1] and len(data.skipped) == 1
    sound = data.samples[0]
    assert (sound.rate, sound.wave.shape) == (16_000, (16_000,))
    assert sound.wave.mean() == pytest.approx(0.25)


def test_texts_are_lines_with_what_is_said_of_them(tmp_path):
    lines = '{"text": "rain", "label": 1, "user": "x"}\n{"text": "sun", "label": 0, "user": "y"}\n'
    (tmp_path / "t.jsonl").write_text(lines)
    data = open_data(str(tmp_path / "t.jsonl"))
    assert list(data.samples) == ["rain", "sun"] and data.labels.tolist() == [1, 0]
    assert data.sources.tolist() == [0, 1]
    (tmp_path / "wet").mkdir()
    (tmp_path / "wet" / "a.txt").write_text("some rain\n\nmore rain\n")
    (tmp_path / "t.jsonl").rename(tmp_path / "dry.txt")
    folder = open_data(str(tmp_path))
    assert folder.classes == ("dry", "wet") and folder.labels.tolist() == [0, 0, 1, 1]
    assert folder.sources is None and "line 2: the text is empty" in folder.skipped[0]


def test_a_folder_of_videos_is_as_many_cameras(film, tmp_path):
    shutil.copy(film, tmp_path / "w.avi")
    data = open_data(f"{tmp_path}?crops=2&half=first")
    assert len(data.samples) == 2 * 2 * 125 == len(data.times_s)
    assert np.bincount(data.sources).tolist() == [125] * 4
    assert np.array_equal(data.samples[251], data.samples[1])
