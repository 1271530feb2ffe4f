"""Base DNNs of sounds and of texts, small enough for a test."""

import numpy as np
import torch
from torch import Tensor, nn

from cache_models.network.description import ModelDescription
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform
from cache_models.zoo.sentences import described
from cache_models.zoo.sentences.network import SentenceClassifier, Size

RATE = 8_000
TONES = ("low", "middle", "high")
HERTZ = (300.0, 900.0, 2_000.0)
WORDS = ("[PAD]", "[UNK]", "rain", "snow", "sun", "and", "some")
WEATHERS = ("wet", "white", "bright")
TOKENIZER = "tests:tokenizer.json"
"""Of a word a token."""


class Pitch(nn.Module):
    """`(B, 800)` → scores by how much there is of each tone."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.Conv1d(1, 1, 31, padding=15, bias=False)  # which leaves all as it is
        self.smooth.weight.data = torch.eye(31)[15].reshape(1, 1, 31)
        times = torch.arange(200) / RATE
        angles = 2 * torch.pi * torch.outer(torch.tensor(HERTZ), times)
        self.waves = nn.Conv1d(1, 6, 200, 50, bias=False)
        self.waves.weight.data = torch.cat([angles.cos(), angles.sin()]).unsqueeze(1)
        self.head = nn.Linear(6, 3, bias=False)
        self.head.weight.data = torch.eye(3).repeat(1, 2)

    def forward(self, sound: Tensor) -> Tensor:
        waves = self.waves(self.smooth(sound.unsqueeze(1)))
        return self.head(waves.square().mean(2).clamp_min(1e-9).log())


class Weather(nn.Module):
    """Token ids `(B, 8)` and their mask → scores by which words there are."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.layer = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)
        with torch.no_grad():
            self.embedding.weight.zero_()
            for i in range(3):
                self.embedding.weight[i + 2, i] = 5.0
            self.layer.weight.copy_(torch.eye(16))
            self.layer.bias.zero_()
            self.head.weight.copy_(torch.eye(3, 16))
            self.head.bias.zero_()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.unsqueeze(-1).to(torch.float32)
        hidden = torch.relu(self.layer(self.embedding(input_ids)))
        return self.head((hidden * mask).sum(1) / mask.sum(1).clamp_min(1.0))


def pitch() -> tuple[nn.Module, ModelDescription]:
    return Pitch(), ModelDescription((800,), TONES, reader=Waveform(RATE, 800))


def weather() -> tuple[nn.Module, ModelDescription]:
    inputs = ("input_ids", "attention_mask")
    reader = Tokens(TOKENIZER, 8, inputs)
    return Weather(), ModelDescription((2, 8), WEATHERS, reader=reader, token_inputs=inputs)


def tone(which: int, rate: int = 44_100) -> np.ndarray:
    """A second of it."""
    return (0.3 * np.sin(2 * np.pi * HERTZ[which] * np.arange(rate) / rate)).astype(np.float32)


def sentences() -> tuple[nn.Module, ModelDescription]:
    """The example's class, small, with random weights."""
    torch.manual_seed(0)
    size = Size(vocabulary=len(WORDS), positions=8, width=32, hidden=64, heads=4, layers=3)
    return SentenceClassifier(3, size), described(Tokens(TOKENIZER, 8), WEATHERS)
