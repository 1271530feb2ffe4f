"""How sharp may the class prior be, and from where on may caches be trusted? Judged on simulated
streams in which outside classes arrive.

A sharp prior saves most and is the danger, too: when a class comes that it has talked down, it
turns that class into a confident mistake until the prior has followed. And a threshold that keeps
the promise on the mix of the build is too loose for a mix of hard classes, and too strict for one
of easy ones. So for every least share that a class may keep, the thresholds are tried from strict
to loose on streams drawn from calibration samples, with the mix of the moment, with classes that
come as often as lately (and a margin), and with a prior that learns as in service: late, and from
misses and samples alone. Of the pairs that pass, the one with the least expected latency is served.
The streams are a model of the traffic: what passes is an estimate, not the promise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from cache_models.cache.learned_cache import LearnedCache, Selector
from cache_models.cache.training import scores_of
from cache_models.network.features import rows_in_batches
from cache_models.promise.class_prior import ENTERS, ClassPrior
from cache_models.promise.promise import PATH, Limits, exits_and_mistakes, most_disagreements
from cache_models.store.versions import CacheVersion

FILE = "calibration.safetensors"
LEAST_SHARES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
"""Prudent to bold, beginning with none; fixed, so never tuned."""
STRICTEST = 2.0
"""No probability reaches it."""
UNKNOWN = 0.1
STREAMS, REQUESTS, EXCHANGE = 8, 1_000, 10
ARRIVING = 300
"""Requests for which a class that has come counts as arriving."""


@dataclass(frozen=True)
class Said:
    """What a version's caches say of N calibration samples before any prior.

    Attributes:
        scores: of each cache's predictor, `(N, K)`.
        familiar: each cache's gate, `(N,)` bool.
        selectors: of each cache.
        answers: the base DNN's labels, `(N,)`.
    """

    scores: list[Tensor]
    familiar: list[Tensor]
    selectors: list[Selector]
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


def say(
    caches: Sequence[LearnedCache],
    features: Sequence[np.ndarray],
    answers: np.ndarray,
    rows: np.ndarray,
) -> dict[str, Tensor]:
    """What `caches` say of the samples `rows`, for `FILE`.

    Args:
        features: `(N, *feature_shape)` float16 at the cut point of each cache.
        answers: the base DNN's labels, `(N,)`.
    """
    said = {"answers": torch.from_numpy(answers[rows])}
    for i, (cache, at) in enumerate(zip(caches, features, strict=True)):
        said[f"scores.{i}"] = scores_of(cache.predictor, at, rows).log_softmax(1)
        with torch.inference_mode():
            familiar = [cache.gate(batch) for batch in rows_in_batches(at, rows)]
        said[f"familiar.{i}"] = torch.cat(familiar)
    return said


def load_said(version: CacheVersion) -> Said:
    """What the caches of a version said of its calibration samples.

    Raises:
        ArtifactError: it is not there, or cannot be read.
    """
    caches, said = range(len(version.plan.caches)), version.tensors(FILE)
    return Said(
        [said[f"scores.{i}"].float() for i in caches],
        [said[f"familiar.{i}"] for i in caches],
        [version.load(i).selector for i in caches],
        said["answers"].numpy(),
    )


class PriorRecord(BaseModel):
    """What was found for one mix.

    Attributes:
        least_share: of the pair that is served; 1 is no prior.
        threshold: likewise, on the selectors' probability of agreement.
        disagreement: expected of all answers on the simulated streams.
        settled, arriving: the parts of it from classes that were there, and that had just come.
        exits: expected shares of requests by exit, the base DNN last.
        arrivals_per_request: assumed.
    """

    least_share: float
    threshold: float
    disagreement: float
    settled: float
    arriving: float
    exits: list[float]
    arrivals_per_request: float


def calibrate_prior(
    said: Said,
    trained: np.ndarray,
    mix: np.ndarray,
    arrivals_per_request: float,
    threshold: float,
    sample_rate: float,
    limits: Limits,
    exit_ms: Sequence[float],
    excess: float = 1.0,
    seed: int = 0,
) -> PriorRecord | None:
    """The pair of least share and threshold with the least expected latency of those whose
    simulated disagreement passes the test of `max_disagreement`.

    The test is binomial, on as many samples as the streams' draws are worth (Kish 1965); thresholds
    are tried from strict to loose, and the first to fail is the end.

    Args:
        trained: `(K,)` shares that the predictors learned on.
        mix: `(K,)` shares of the recent requests.
        threshold: that was tested without a prior.
        sample_rate: of hits that the prior learns from.
        exit_ms: latency by exit, the base DNN last.
        excess: so many times more mistakes than simulated are to be expected.

    Returns:
        Where nothing passes, no prior and a threshold that nothing reaches; None where more than
        `UNKNOWN` of the mix is of classes without calibration samples.
    """
    known = np.bincount(said.answers, minlength=len(mix)) > 0
    if mix[known].sum() < (1 - UNKNOWN) * mix.sum() or not mix.sum():
        return None
    best, least_ms = None, np.inf
    for least_share in LEAST_SHARES:

        def heard(served: float, share: float = least_share) -> _Heard:
            """When `served` decides what misses, and the prior learns from."""
            rng = np.random.default_rng(seed)
            return _simulate(
                said, trained, share, mix, arrivals_per_request, served, sample_rate, rng
            )

        loosest = heard(threshold).loosest(limits, excess)
        again = heard(loosest)  # which lets the prior see more or less than the first
        served = max(loosest, again.loosest(limits, excess))
        record = again.record(least_share, served, arrivals_per_request)
        expected_ms = float(np.dot(record.exits, exit_ms))
        if expected_ms < least_ms:
            best, least_ms = record, expected_ms
    return best


@dataclass(frozen=True)
class _Heard:
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
            if self._at(threshold)[1].mean() > allowed:
                break
            passed = float(threshold)
        return passed

    def record(self, least_share: float, threshold: float, arrivals: float) -> PriorRecord:
        exits, wrong = self._at(threshold)
        return PriorRecord(
            least_share=least_share,
            threshold=threshold,
            disagreement=wrong.mean(),
            settled=(wrong & ~self.arriving).mean(),
            arriving=(wrong & self.arriving).mean(),
            exits=(np.bincount(exits, minlength=len(self.predictions) + 1) / len(exits)).tolist(),
            arrivals_per_request=arrivals,
        )

    def _at(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        return exits_and_mistakes(self.predictions, self.confidences, self.answers, threshold)


def _simulate(
    said: Said,
    trained: np.ndarray,
    least_share: float,
    mix: np.ndarray,
    arrivals_per_request: float,
    threshold: float,
    sample_rate: float,
    rng: np.random.Generator,
) -> _Heard:
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
    return _Heard(*heard, worth)


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
