"""Fit the head to the sections of packages; the encoder stays as it is."""

from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cache_models.network.tokens import Tokens
from cache_models.zoo.pretrain import publish
from cache_models.zoo.sentences.network import Encoder
from cache_models.zoo.sentences.packages import SECTIONS, Package, packages

BATCH = 64
WEIGHT_DECAY = 1e-4
STEPS = 300


def train(encoder: Encoder, tokens: Tokens, lists: Path, out: Path) -> dict:
    """Fit on the packages that are for it, test on those of the service, and write `out` and its
    card.

    Returns:
        The card.
    """
    learned, tested = packages("head", lists), packages("service", lists)
    head = nn.Linear(encoder.embeddings.norm.normalized_shape[0], len(SECTIONS))
    _fit(head, embedded(encoder, tokens, learned), _labels(learned))
    labels = _labels(tested)
    with torch.inference_mode():
        answers = head(embedded(encoder, tokens, tested)).argmax(1)
    card = {
        "model": "all-MiniLM-L6-v2, mean over the tokens, a linear head fitted",
        "data": f"descriptions of {len(learned)} Debian packages, by section",
        "accuracy": round(float((answers == labels).float().mean()), 4),
        "most_frequent": round(float(labels.bincount().max() / len(labels)), 4),
    }
    publish(head.state_dict(), card, out)
    return card


def embedded(encoder: Encoder, tokens: Tokens, found: list[Package]) -> Tensor:
    """Sentences `(N, width)`, in order."""
    encoder.eval()
    parts = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(found), BATCH), "embed", unit="batch"):
            rows = [tokens.read(package.text) for package in found[start : start + BATCH]]
            ids, mask = torch.stack([torch.from_numpy(row) for row in rows]).long().unbind(1)
            parts.append(encoder(ids, mask))
    return torch.cat(parts)


def _labels(found: list[Package]) -> Tensor:
    return torch.tensor([SECTIONS.index(package.section) for package in found])


def _fit(head: nn.Linear, sentences: Tensor, labels: Tensor) -> None:
    """Multinomial logistic regression."""
    sentences = sentences.clone()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(head(sentences), labels)
        value = value + WEIGHT_DECAY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
