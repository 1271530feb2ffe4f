"""How often more is wrong in the long run than promised: builds and their service, drawn anew.

What a version's caches say of its build's calibration samples stands for the traffic. Of it every
build draws its own calibration samples and tests a threshold on them; then requests are drawn, and
the controller follows them. Four kinds of traffic: independent requests; blocks of 200 alike, whose
length the controller knows; samples of which only a tenth are taken by turns; and a change,
half-way, to half of the classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import trange

from cache_models.bench.control import follow
from cache_models.follow.said import load_said
from cache_models.promise.controller import Controller
from cache_models.promise.path import OFF, wrong_at
from cache_models.promise.promise import PATH, Limits, calibrate
from cache_models.store.version import CacheVersion

KINDS = ("independent", "blocks of 200", "changing rate", "change of the mix")
BLOCK, TURN = 200, 2_000


@dataclass(frozen=True)
class Population:
    """N inputs: each deployed cache's labels and confidences, `(caches, N)`, and the base DNN's
    labels, `(N,)`."""

    labels: np.ndarray
    confidences: np.ndarray
    answers: np.ndarray
    classes: int

    @classmethod
    def of(cls, version: CacheVersion) -> "Population":
        """
        Raises:
            ArtifactError: it is no build's, or what it left cannot be read.
        """
        said = load_said(version)
        with torch.inference_mode():
            confidences = [
                (version.load(i).selector(scores) * familiar).numpy()
                for i, (scores, familiar) in enumerate(zip(said.scores, said.familiar, strict=True))
            ]
        labels = np.stack([scores.argmax(1).numpy() for scores in said.scores])
        classes = len(version.plan.description.classes)
        return cls(labels, np.stack(confidences), said.answers, classes)


def redraw(of: Population, kind: str, limits: Limits, requests: int, seed: int) -> float:
    """The share of wrong answers, in the service of one build."""
    rng, count = np.random.default_rng(seed), len(of.answers)
    drawn = rng.integers(0, count, count)
    samples = list(of.labels[:, drawn]), list(of.confidences[:, drawn])
    built = calibrate(*samples, of.answers[drawn], of.classes, limits)
    controller = Controller(limits, of.classes, built.threshold, 100_000)
    stream = rng.integers(0, count, requests)
    if kind == KINDS[1]:
        stream = np.repeat(stream[: -(-requests // BLOCK)], BLOCK)[:requests]
    if kind == KINDS[3]:
        half = np.flatnonzero(np.isin(of.answers, rng.permutation(of.classes)[: of.classes // 2]))
        stream[requests // 2 :] = rng.choice(half, requests - requests // 2)
    said = of.labels[:, stream], of.confidences[:, stream]
    answers = of.answers[stream]

    def draw(t: int, _: np.random.Generator) -> tuple[np.ndarray, int]:
        labels, confidences = (part[:, t].tolist() for part in said)
        return wrong_at(labels, confidences, int(answers[t])), int(answers[t])

    run = follow(
        controller,
        draw,
        requests,
        rng,
        load=lambda t: 0.1 if kind == KINDS[2] and (t // TURN) % 2 else 1.0,
        block=BLOCK if kind == KINDS[1] else None,
    )
    thresholds = np.where(run.served == OFF, np.inf, PATH[run.served])
    hits = said[1] >= thresholds
    labels = said[0][hits.argmax(0), np.arange(requests)]
    return float((hits.any(0) & (labels != answers)).mean())


def table(of: Population, limits: Limits, draws: int, requests: int = 60_000) -> str:
    """For people."""
    lines = ["traffic                wrong: mean   largest   more than promised"]
    for kind in KINDS:
        seeds = trange(draws // len(KINDS), desc=kind, unit="redraw")
        wrong = np.array([redraw(of, kind, limits, requests, seed) for seed in seeds])
        more = f"{(wrong > limits.max_disagreement).sum()} of {len(wrong)}"
        lines.append(f"{kind:20}   {wrong.mean():11.2%}   {wrong.max():7.2%}   {more:>18}")
    return "\n".join(lines)
