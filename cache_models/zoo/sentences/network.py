"""A BERT-like encoder of sentences (Devlin et al. 2019) and a linear head over their mean token."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Size:
    """Of an encoder; by default that of MiniLM-L6 (Wang et al. 2020)."""

    vocabulary: int = 30_522
    positions: int = 512
    width: int = 384
    hidden: int = 1_536
    heads: int = 12
    layers: int = 6


class Encoder(nn.Module):
    """Token ids `(B, T)` and their mask, ones and zeros → sentences `(B, width)`."""

    def __init__(self, size: Size = Size()):
        super().__init__()
        self.embeddings = Embeddings(size)
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens = self.embeddings(input_ids)
        there = attention_mask.bool()[:, None, None]
        for layer in self.layers:
            tokens = layer(tokens, there)
        weights = attention_mask.unsqueeze(-1).float()
        return (tokens * weights).sum(1) / weights.sum(1).clamp_min(1.0)


class SentenceClassifier(nn.Module):
    """Token ids `(B, T)` and their mask → scores `(B, classes)`."""

    def __init__(self, classes: int, size: Size = Size()):
        super().__init__()
        self.encoder = Encoder(size)
        self.head = nn.Linear(size.width, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.head(self.encoder(input_ids, attention_mask))


class Embeddings(nn.Module):
    """Of the words and their positions, of one sentence a text."""

    def __init__(self, size: Size):
        super().__init__()
        self.words = nn.Embedding(size.vocabulary, size.width)
        self.positions = nn.Embedding(size.positions, size.width)
        self.sentence = nn.Parameter(torch.zeros(size.width))
        self.norm = nn.LayerNorm(size.width, 1e-12)

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = self.positions.weight[: input_ids.size(1)]
        return self.norm(self.words(input_ids) + positions + self.sentence)


class Layer(nn.Module):
    """Attention of all tokens to those that are there, and two linear layers for each."""

    def __init__(self, size: Size):
        super().__init__()
        self.heads = size.heads
        self.query, self.key, self.value, self.joined = (
            nn.Linear(size.width, size.width) for _ in range(4)
        )
        self.attended = nn.LayerNorm(size.width, 1e-12)
        self.up = nn.Linear(size.width, size.hidden)
        self.down = nn.Linear(size.hidden, size.width)
        self.norm = nn.LayerNorm(size.width, 1e-12)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        query, key, value = (
            part(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        found = F.scaled_dot_product_attention(query, key, value, there)
        tokens = self.attended(tokens + self.joined(found.transpose(1, 2).flatten(2)))
        return self.norm(tokens + self.down(F.gelu(self.up(tokens))))
