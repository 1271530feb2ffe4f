"""Simulated streams in which outside classes arrive, and what caches say in them.

They are drawn from calibration samples with the mix of the moment, with classes that come as often
as lately, and with a prior that learns as in service: late, and from misses and samples alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cache_models.promise.class_prior import ENTERS, ClassPrior
from cache_models.promise.promise import PATH, Limits, exits_and_mistakes, most_disagreements

STRICTEST = 2.0
"""No probability reaches it."""
STREAMS, REQUESTS, EXCHANGE = 8, 1_000, 10
ARRIVING = 300
"""Requests for which a class that has come counts as arriving."""


@dataclass(frozen=True)
class Said:
    """What a version's caches say of N calibration samples before any prior.

    Attributes:
        scores: of each cache's predictor, `(N, K)`.
        familiar: each cache's gate, `(N,)` bool.
        selectors: of each cache, scores `(B, K)` → probability of agreement `(B,)`.
        answers: the base DNN's labels, `(N,)`.
    """

    scores: list[Tensor]
    familiar: list[Tensor]
    selectors: list[Callable[[Tensor], Tensor]]
    answers: np.ndarray

    def hear(self, rows: np.ndarray, log_ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and confidences, `(caches, B)` each, of some samples, as for
        `promise.cascade`.

        Args:
            log_ratio: the prior's, `(B, K)`.
        """
        predictions = np.empty((len(self.scores), len(rows)), int)
        confidences = np.empty((len(self.scores), len(rows)))
        correction = torch.from_numpy(log_ratio).float()
        with torch.inference_mode():
            for i, selector in enumerate(self.selectors):
                scores = self.scores[i][rows] + correction
                predictions[i] = scores.argmax(1).numpy()
                confidences[i] = (selector(scores) * self.familiar[i][rows]).numpy()
        return predictions, confidences


@dataclass(frozen=True)
class Heard:
    """What caches said in simulated streams.

    Attributes:
        predictions, confidences: `(caches, n)`.
        answers: the base DNN's labels, `(n,)`.
        arriving: whether a request is of a class that has just come, `(n,)`.
        worth: independent samples that the draws are worth.
    """

    predictions: np.ndarray
    confidences: np.ndarray
    answers: np.ndarray
    arriving: np.ndarray
    worth: int

    def loosest(self, limits: Limits, excess: float) -> float:
        """Threshold of `PATH` before the first that fails."""
        limit = limits.max_disagreement / excess
        allowed = most_disagreements(self.worth, limit, 1 - limits.confidence) / self.worth
        passed = STRICTEST
        for threshold in PATH:
            if self.at(threshold)[1].mean() > allowed:
                break
            passed = float(threshold)
        return passed

    def at(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Exits, as indices of caches, and mistakes, of all requests at a threshold."""
        return exits_and_mistakes(self.predictions, self.confidences, self.answers, threshold)


def simulate(
    said: Said,
    trained: np.ndarray,
    least_share: float,
    mix: np.ndarray,
    arrivals_per_request: float,
    threshold: float,
    sample_rate: float,
    rng: np.random.Generator,
) -> Heard:
    """`STREAMS` streams side by side, served with `threshold`."""
    priors = [ClassPrior(trained, least_share) for _ in range(STREAMS)]
    resembles = said.scores[-1].float().softmax(1).numpy()
    deck = _Deck(said.answers, len(mix), rng)
    mixes = [_Mix(mix, arrivals_per_request, deck, resembles, rng) for _ in range(STREAMS)]
    for prior in priors:
        prior.start(mix)
    parts, drawn = [], np.zeros(len(said.answers))
    for _ in range(REQUESTS // EXCHANGE):
        rows, arriving = map(np.stack, zip(*(m.draw(EXCHANGE) for m in mixes), strict=True))
        ratios = np.stack([prior.log_ratio() for prior in priors]).repeat(EXCHANGE, 0)
        predictions, confidences = said.hear(rows.ravel(), ratios)
        answers = said.answers[rows.ravel()]
        parts.append((predictions, confidences, answers, arriving.ravel()))
        np.add.at(drawn, rows.ravel(), 1)
        missed = (confidences < threshold).all(0)
        weights = np.where(missed, 1.0, (rng.random(len(missed)) < sample_rate) / sample_rate)
        for prior, labels, weight in zip(
            priors, said.answers[rows], weights.reshape(rows.shape), strict=True
        ):
            prior.advance(EXCHANGE)
            for i in np.flatnonzero(weight):
                prior.observe(int(labels[i]), float(weight[i]))
    heard = [np.concatenate(part, -1) for part in zip(*parts, strict=True)]
    worth = int(drawn.sum() ** 2 / np.square(drawn).sum())
    return Heard(*heard, worth)


class _Deck:
    """Samples of each class, dealt in random order, each once before any comes again: so draws are
    worth as many independent samples as can be.

    Attributes:
        counts: samples of each class, `(K,)`.
    """

    def __init__(self, answers: np.ndarray, classes: int, rng: np.random.Generator):
        self.counts = np.bincount(answers, minlength=classes)
        shuffled = rng.permutation(len(answers))
        shuffled = shuffled[np.argsort(answers[shuffled], kind="stable")]
        self._of = np.split(shuffled, np.cumsum(self.counts)[:-1])
        self._dealt = np.zeros(classes, int)

    def of(self, class_id: int) -> np.ndarray:
        """All samples of a class."""
        return self._of[class_id]

    def deal(self, classes: np.ndarray) -> np.ndarray:
        """A sample of each of `classes`."""
        rows = np.empty(len(classes), int)
        for i, class_id in enumerate(classes):
            rows[i] = self._of[class_id][self._dealt[class_id] % self.counts[class_id]]
            self._dealt[class_id] += 1
        return rows


class _Mix:
    """A stream: classes by `mix`, one of which gives its share to another at every arrival.

    Few answers of a class mean that no such class is there: they are the base DNN's to inputs of
    the settled classes that look a little like it, and a prior takes just these for their
    neighbours. So samples are drawn for them by how much they resemble the settled classes.

    Args:
        resembles: of each sample and class, `(N, K)`, a probability.
    """

    def __init__(self, mix: np.ndarray, arrivals: float, deck: _Deck, resembles: np.ndarray, rng):
        self._rng, self._arrivals, self._deck, self._resembles = rng, arrivals, deck, resembles
        self._mix = np.where(deck.counts > 0, mix, 0.0)
        self._mix /= self._mix.sum()
        self._came = np.full(len(mix), -np.inf)
        self._at = 0

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of samples `(count,)`, and whether each is of a class that has just come."""
        if self._rng.random() < count * self._arrivals:
            self._arrive()
        self._at += count
        classes = self._rng.choice(len(self._mix), count, p=self._mix)
        rows = self._deck.deal(classes)
        settled = self._mix > ENTERS
        for i in np.flatnonzero(~settled[classes]):
            alike = self._deck.of(classes[i])
            weights = self._resembles[alike][:, settled].sum(1) + 1e-9
            rows[i] = self._rng.choice(alike, p=weights / weights.sum())
        return rows, self._at - self._came[classes] < ARRIVING

    def _arrive(self) -> None:
        inside = np.flatnonzero(self._mix > ENTERS)
        outside = np.flatnonzero((self._mix <= ENTERS) & (self._deck.counts > 0))
        if not len(inside) or not len(outside):
            return
        leaves, comes = self._rng.choice(inside), self._rng.choice(outside)
        self._mix[[leaves, comes]] = self._mix[[comes, leaves]]
        self._came[comes] = self._at
