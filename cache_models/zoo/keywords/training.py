"""Train the keyword spotter: first on spectrograms of half the resolution, which cost a quarter."""

from pathlib import Path

import torch
from torch import nn
from tqdm import trange

from cache_models.zoo.keywords.network import KeywordSpotter
from cache_models.zoo.keywords.speech import Clips, Speech
from cache_models.zoo.pretrain import publish

STAGES = ((2, 40_000, 64, 2e-3), (1, 8_000, 32, 5e-4))
"""Pooled by, clips, batch, and the highest learning rate."""
WORDS_EACH = 500
TESTS = 2_000


def train(out: Path, seed: int = 0) -> dict:
    """Train, test on voices and music that trained nothing, and write `out` and its card.

    Returns:
        The card.
    """
    torch.manual_seed(seed)
    speech = Speech("train", WORDS_EACH, seed)
    model = KeywordSpotter()
    for pooled, clips, batch, rate in STAGES:
        _fit(model, speech, pooled, clips // batch, batch, rate)
    accuracy = accuracy_on(model, Speech("service", 60, seed).clips(TESTS))
    card = {
        "model": "log-mel spectrogram and torchvision's ResNet-18",
        "data": "words spoken by espeak-ng over music of Battle for Wesnoth: synthetic",
        "stages": STAGES,
        "seed": seed,
        "accuracy": round(accuracy, 4),
    }
    publish(model.state_dict(), card, out)
    return card


def accuracy_on(model: KeywordSpotter, clips: Clips) -> float:
    """Share of the clips that are labelled rightly."""
    model.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(clips.labels), 100):
            part = slice(start, start + 100)
            scores = model(torch.from_numpy(clips.sounds[part]))
            right += int((scores.argmax(1).numpy() == clips.labels[part]).sum())
    return right / len(clips.labels)


def _fit(
    model: KeywordSpotter, speech: Speech, pooled: int, steps: int, batch: int, rate: float
) -> None:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    with trange(steps, desc=f"train, pooled by {pooled}", unit="step", smoothing=0.02) as bar:
        for _ in bar:
            clips = speech.clips(batch)
            with torch.no_grad():
                mel = nn.functional.avg_pool2d(
                    model.log_mel(torch.from_numpy(clips.sounds)), pooled
                )
            loss = nn.functional.cross_entropy(
                model.resnet(mel), torch.from_numpy(clips.labels), label_smoothing=0.05
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}")
