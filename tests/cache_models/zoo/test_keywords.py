"""The spectrogram is what a Fourier transform says."""

import numpy as np
import torch

from cache_models.zoo.keywords.network import BANDS, FRAMES, HOP, WINDOW, KeywordSpotter
from cache_models.zoo.keywords.speech import CLASSES, SECOND, _with_length


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
