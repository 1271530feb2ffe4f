"""A keyword spotter: a log-mel spectrogram, made inside the module, and a ResNet-18 over it."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from cache_models.zoo.keywords.speech import CLASSES, SECOND

BANDS, FRAMES = 80, 200
WINDOW, HOP = 400, 80
"""25 and 5 ms."""
LOWEST_HZ, HIGHEST_HZ = 60.0, 7_600.0
MEAN, DEVIATION = -4.5, 5.0
"""Of the logarithms, about."""


class LogMel(nn.Module):
    """`(B, 16000)` → `(B, 1, BANDS, FRAMES)`. The Fourier transform is a convolution, which every
    engine has."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        times = torch.arange(WINDOW, dtype=torch.float64)
        angles = 2 * math.pi / WINDOW * torch.outer(torch.arange(WINDOW // 2 + 1), times)
        waves = torch.cat([angles.cos(), angles.sin()]) * torch.hann_window(WINDOW).double()
        self.fourier = nn.Conv1d(1, len(waves), WINDOW, HOP, WINDOW // 2, bias=False)
        self.fourier.weight.data = waves.unsqueeze(1).float()
        self.register_buffer("filters", torch.from_numpy(_mel_filters()).float())

    def forward(self, sound: Tensor) -> Tensor:
        waves = self.fourier(sound.unsqueeze(1))[..., :FRAMES]
        real, imaginary = waves.chunk(2, 1)
        mel = torch.matmul(self.filters, real * real + imaginary * imaginary)
        return ((mel + 1e-6).log().unsqueeze(1) - MEAN) / DEVIATION


class KeywordSpotter(nn.Module):
    """`(B, 16000)` in [-1, 1] → scores `(B, 12)`."""

    def __init__(self) -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.resnet = resnet18(num_classes=len(CLASSES))
        self.resnet.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)

    def forward(self, sound: Tensor) -> Tensor:
        return self.resnet(self.log_mel(sound))


def _mel_filters() -> np.ndarray:
    """Triangles of equal width in mel (O'Shaughnessy 1987), `(BANDS, WINDOW / 2 + 1)`."""

    def mel(hertz):
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)

    corners = np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), BANDS + 2)
    corners = 700 * (10 ** (corners / 2595) - 1)
    hertz = np.arange(WINDOW // 2 + 1) * SECOND.sample_rate / WINDOW
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    up, down = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    return np.maximum(0, np.minimum(up, down))
