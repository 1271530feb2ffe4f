"""The spectrogram is what a Fourier transform says, and people have voices of their own."""

import numpy as np
import pytest
import torch

from cache_models.zoo.keywords import speech
from cache_models.zoo.keywords.network import BANDS, FRAMES, HOP, WINDOW, KeywordSpotter
from cache_models.zoo.keywords.speech import CLASSES, SECOND, Speech, _with_length, write
from workload.traffic.data import open_data


def test_the_convolution_is_a_fourier_transform():
    rng = np.random.default_rng(0)
    sound = torch.from_numpy(rng.standard_normal((2, SECOND.samples)).astype(np.float32))
    model = KeywordSpotter().eval()
    with torch.inference_mode():
        made = model.log_mel(sound)
        window = torch.hann_window(WINDOW)
        wave = torch.stft(
            sound, WINDOW, HOP, window=window, return_complex=True, pad_mode="constant"
        )
        mel = model.log_mel.filters @ wave.abs().square()[..., :FRAMES]
    assert made.shape == (2, 1, BANDS, FRAMES)
    assert model(sound).shape == (2, len(CLASSES))
    expected = ((mel + 1e-6).log() + 4.5) / 5
    assert torch.allclose(made[:, 0], expected, atol=1e-3)


def test_every_band_hears_something():
    assert (KeywordSpotter().log_mel.filters.sum(1) > 0).all()


def test_a_header_without_a_length_gets_one():
    wav = b"RIFF" + b"\xff" * 4 + b"WAVEfmt " + b"\0" * 20 + b"data" + b"\xff" * 4 + b"12345678"
    fixed = _with_length(wav)
    assert fixed[4:8] == (len(wav) - 8).to_bytes(4, "little")
    assert fixed[40:44] == (8).to_bytes(4, "little") and fixed[44:] == b"12345678"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What espeak-ng is asked to say, where there are neither it nor music."""
    pytest.importorskip("soundfile")
    said = []

    def spoken(word, *manner):
        said.append((word, *manner))
        return np.full(SECOND.samples, 0.1, np.float32)

    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "piece.ogg").touch()
    monkeypatch.setattr(speech, "MUSIC", tmp_path / "music")
    monkeypatch.setattr(speech, "_loaded", lambda _: np.ones(2 * SECOND.samples, np.int16))
    monkeypatch.setattr(speech.shutil, "which", lambda _: "espeak-ng")
    monkeypatch.setattr(speech, "_voices", lambda: [f"voice{i}" for i in range(30)])
    monkeypatch.setattr(speech, "_spoken", spoken)
    return said


def test_a_person_has_one_voice_and_the_traffic_knows_who_speaks(asked, tmp_path):
    clips = Speech("train", 20, people=3).clips(100)
    assert len({(voice, pitch) for _, voice, _, pitch in asked}) == 3
    write(clips, tmp_path / "clips")
    data = open_data(str(tmp_path / "clips"))
    assert data.sources is not None
    whose = np.bincount(data.sources)
    assert np.array_equal(whose, np.bincount(clips.speakers)) and len(whose) == 3


def test_without_people_nobody_is_known(asked, tmp_path):
    clips = Speech("train", 20).clips(20)
    assert len({voice for _, voice, _, _ in asked}) > 50
    write(clips, tmp_path / "clips")
    assert open_data(str(tmp_path / "clips")).sources is None
