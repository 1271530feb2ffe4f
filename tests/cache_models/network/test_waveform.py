"""A sound gives the same input whatever file it comes in."""

import io

import numpy as np
import pytest

from cache_models.errors import DataError, UnreadableError
from cache_models.network import waveform
from cache_models.network.waveform import Waveform

soundfile = pytest.importorskip("soundfile")

SECOND = Waveform(16_000, 16_000)


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype("f4")


def file(sound: np.ndarray, rate: int, **how) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, sound, rate, **{"format": "WAV"} | how)
    return out.getvalue()


@pytest.mark.parametrize(
    "how, off",
    [
        ({"format": "WAV", "subtype": "PCM_16"}, 1e-4),
        ({"format": "WAV", "subtype": "PCM_U8"}, 1e-2),
        ({"format": "WAV", "subtype": "FLOAT"}, 0),
        ({"format": "WAVEX", "subtype": "PCM_24"}, 1e-6),
        ({"format": "FLAC"}, 1e-4),
        ({"format": "OGG", "subtype": "VORBIS"}, 0.05),
        ({"format": "OGG", "subtype": "OPUS"}, 0.1),
    ],
)
def test_files_of_one_sound_give_one_input(how, off):
    read = SECOND.read(file(tone(16_000), 16_000, **how))
    assert read.shape == (16_000,) and read.dtype == np.float32
    inner = slice(2_000, 14_000)  # codecs with loss smooth the ends
    assert np.abs(read[inner] - tone(16_000)[inner]).max() <= off


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 192_000])
def test_another_rate_is_resampled(rate):
    read = SECOND.read(file(tone(rate), rate, subtype="FLOAT"))
    inner = slice(1_000, 15_000)
    assert np.abs(read[inner] - tone(16_000)[inner]).max() < 0.01


def test_channels_are_averaged():
    both = np.stack([tone(16_000), -tone(16_000)], 1)
    assert np.abs(SECOND.read(file(both, 16_000, subtype="FLOAT"))).max() < 1e-6


def test_a_long_sound_gives_its_middle_and_a_short_one_stands_in_silence():
    silence = np.zeros(32_000, "f4")
    long = np.concatenate([silence, tone(16_000), silence])
    assert np.array_equal(SECOND.read(file(long, 16_000, subtype="FLOAT")), tone(16_000))
    read = SECOND.read(file(tone(16_000, 0.5), 16_000, subtype="FLOAT"))
    assert np.array_equal(read[4_000:12_000], tone(16_000, 0.5))
    assert not read[:4_000].any() and not read[12_000:].any()


def test_a_file_on_disk_gives_what_its_bytes_give(tmp_path):
    body = file(tone(44_100, 3.0), 44_100, format="FLAC")
    (tmp_path / "a.flac").write_bytes(body)
    assert np.array_equal(SECOND.read(tmp_path / "a.flac"), SECOND.read(body))


@pytest.mark.parametrize(
    "body, says",
    [
        (b"", "readable"),
        (b"RIFF" + b"\x00" * 40, "readable"),
        (file(tone(16_000), 16_000)[:30], "readable"),
        (file(tone(16_000), 16_000, format="AIFF"), "AIFF"),
        (file(np.zeros((100, 9), "f4"), 16_000), "9 channels"),
        (file(np.zeros(0, "f4"), 16_000), "empty"),
        (file(tone(900), 900), "900 samples a second"),
        (file(np.full(16_000, np.nan, "f4"), 16_000, subtype="FLOAT"), "NaN"),
    ],
)
def test_what_is_no_sound_is_refused_with_what_it_may_be(body, says):
    with pytest.raises(DataError, match=says):
        SECOND.read(body)


def test_what_libsndfile_may_lose_for_each_refused_ogg_is_bounded(monkeypatch):
    monkeypatch.setattr(waveform, "MOST_REFUSED", 3)
    monkeypatch.setattr(waveform, "_refused", 0)
    good = file(tone(16_000), 16_000, format="OGG", subtype="VORBIS")
    fast = file(tone(500), 500, format="OGG", subtype="VORBIS")
    before = SECOND.read(good)
    for _ in range(3):
        with pytest.raises(UnreadableError):
            SECOND.read(good[:100])
    with pytest.MonkeyPatch.context() as here:
        here.setattr(soundfile, "SoundFile", None)  # not in this process any more
        assert np.array_equal(SECOND.read(good), before)
        with pytest.raises(UnreadableError, match="not a readable WAV, FLAC, OGG"):
            SECOND.read(good[:100])
        with pytest.raises(DataError, match="500 samples a second") as error:
            SECOND.read(fast)
        assert not isinstance(error.value, UnreadableError)
    SECOND.read(file(tone(16_000), 16_000))
