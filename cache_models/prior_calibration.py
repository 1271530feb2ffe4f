"""How sharp may the class prior be? Judged on simulated streams in which outside classes arrive.

A sharp prior saves most and is the danger, too: when a class comes that it has talked down, it
turns that class into a confident mistake until the prior has followed. So the least share that
every class keeps is tried from prudent to bold on streams drawn from calibration samples, with the
mix of the moment, with classes that come as often as lately (and a margin), and with a prior that
learns as in service: late, and from misses and samples alone. The streams are a model of the
traffic: what passes is an estimate, not the promise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from cache_models.class_prior import ENTERS, ClassPrior
from cache_models.features import rows_in_batches
from cache_models.learned_cache import LearnedCache, Selector
from cache_models.promise import Limits, most_disagreements
from cache_models.store import CacheVersion
from cache_models.training import scores_of

FILE = "calibration.safetensors"
LEAST_SHARES = (0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05)
"""Prudent to bold; fixed, so never tuned."""
UNKNOWN = 0.1
STREAMS, REQUESTS, EXCHANGE = 8, 1_500, 10
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

    def cascade(
        self, rows: np.ndarray, log_ratio: np.ndarray, threshold: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exits and whether the answer is wrong, `(B,)` each, of some samples.

        Args:
            log_ratio: the prior's, `(B, K)`.
        """
        exits, wrong = np.full(len(rows), len(self.scores)), np.zeros(len(rows), bool)
        correction = torch.from_numpy(log_ratio).float()
        with torch.inference_mode():
            for i in reversed(range(len(self.scores))):
                scores = self.scores[i][rows] + correction
                confidence = self.selectors[i](scores) * self.familiar[i][rows]
                hit = (confidence >= threshold).numpy()
                exits[hit] = i
                wrong[hit] = (scores.argmax(1).numpy() != self.answers[rows])[hit]
        return exits, wrong


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
        least_share: the boldest that passed; 1, no prior, if none did.
        disagreement: expected of all answers on the simulated streams.
        settled, arriving: the parts of it from classes that were there, and that had just come.
        exits: expected shares of requests by exit, the base DNN last.
        arrivals_per_request: assumed.
    """

    least_share: float
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
    caution: int = 0,
    seed: int = 0,
) -> PriorRecord | None:
    """The boldest `least_share` whose simulated disagreement passes the test of `max_disagreement`,
    or is no more than without a prior.

    The test is binomial, on as many samples as the streams' draws are worth (Kish 1965).

    Args:
        trained: `(K,)` shares that the predictors learned on.
        mix: `(K,)` shares of the recent requests.
        sample_rate: of hits that the prior learns from.
        caution: so many of the boldest are not tried; with all of them there is no prior.

    Returns:
        None where more than `UNKNOWN` of the mix is of classes without calibration samples.
    """
    known = np.bincount(said.answers, minlength=len(mix)) > 0
    if mix[known].sum() < (1 - UNKNOWN) * mix.sum() or not mix.sum():
        return None
    passed, without = None, 1.0
    for least_share in (1.0, *LEAST_SHARES[: max(0, len(LEAST_SHARES) - caution)]):
        record, worth = _simulate(
            said,
            trained,
            least_share,
            mix,
            arrivals_per_request,
            threshold,
            sample_rate,
            np.random.default_rng(seed),
        )
        allowed = most_disagreements(worth, limits.max_disagreement, 1 - limits.confidence)
        if least_share == 1.0:
            without = record.disagreement
        elif record.disagreement * worth > allowed and record.disagreement > without:
            break
        passed = record
    return passed


def _simulate(
    said: Said,
    trained: np.ndarray,
    least_share: float,
    mix: np.ndarray,
    arrivals_per_request: float,
    threshold: float,
    sample_rate: float,
    rng: np.random.Generator,
) -> tuple[PriorRecord, int]:
    """`STREAMS` streams side by side, and what their draws are worth in independent samples."""
    priors = [ClassPrior(trained, least_share) for _ in range(STREAMS)]
    resembles = said.scores[-1].float().softmax(1).numpy()
    mixes = [_Mix(mix, arrivals_per_request, said.answers, resembles, rng) for _ in range(STREAMS)]
    for prior in priors:
        prior.start(mix)
    exits_by = np.zeros(len(said.scores) + 1)
    wrong_by = {True: 0, False: 0}
    drawn = np.zeros(len(said.answers))
    for _ in range(REQUESTS // EXCHANGE):
        rows, arriving = map(np.stack, zip(*(m.draw(EXCHANGE) for m in mixes), strict=True))
        ratios = np.stack([prior.log_ratio() for prior in priors]).repeat(EXCHANGE, 0)
        exits, wrong = said.cascade(rows.ravel(), ratios, threshold)
        exits_by += np.bincount(exits, minlength=len(exits_by))
        np.add.at(drawn, rows.ravel(), 1)
        for kind in wrong_by:
            wrong_by[kind] += int((wrong & (arriving.ravel() == kind)).sum())
        missed = exits == len(said.scores)
        weights = np.where(missed, 1.0, (rng.random(len(exits)) < sample_rate) / sample_rate)
        for prior, labels, weight in zip(
            priors, said.answers[rows], weights.reshape(rows.shape), strict=True
        ):
            prior.advance(EXCHANGE)
            for i in np.flatnonzero(weight):
                prior.observe(int(labels[i]), float(weight[i]))
    total = drawn.sum()
    record = PriorRecord(
        least_share=least_share,
        disagreement=sum(wrong_by.values()) / total,
        settled=wrong_by[False] / total,
        arriving=wrong_by[True] / total,
        exits=(exits_by / total).tolist(),
        arrivals_per_request=arrivals_per_request,
    )
    return record, int(total**2 / np.square(drawn).sum())


class _Mix:
    """A stream: classes by `mix`, one of which gives its share to another at every arrival.

    Few answers of a class mean that no such class is there: they are the base DNN's to inputs of
    the settled classes that look a little like it, and a prior takes just these for their
    neighbours. So samples are drawn for them by how much they resemble the settled classes.

    Args:
        resembles: of each sample and class, `(N, K)`, a probability.
    """

    def __init__(
        self, mix: np.ndarray, arrivals: float, answers: np.ndarray, resembles: np.ndarray, rng
    ):
        self._rng, self._arrivals, self._resembles = rng, arrivals, resembles
        self._by_class = np.argsort(answers, kind="stable")
        self._counts = np.bincount(answers, minlength=len(mix))
        self._starts = np.cumsum(self._counts) - self._counts
        self._mix = np.where(self._counts > 0, mix, 0.0)
        self._mix /= self._mix.sum()
        self._came = np.full(len(mix), -np.inf)
        self._at = 0

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of samples `(count,)`, and whether each is of a class that has just come."""
        if self._rng.random() < count * self._arrivals:
            self._arrive()
        self._at += count
        classes = self._rng.choice(len(self._mix), count, p=self._mix)
        places = (self._rng.random(count) * self._counts[classes]).astype(int)
        rows = self._by_class[self._starts[classes] + places]
        settled = self._mix > ENTERS
        for i in np.flatnonzero(~settled[classes]):
            start = self._starts[classes[i]]
            alike = self._by_class[start : start + self._counts[classes[i]]]
            weights = self._resembles[alike][:, settled].sum(1) + 1e-9
            rows[i] = self._rng.choice(alike, p=weights / weights.sum())
        return rows, self._at - self._came[classes] < ARRIVING

    def _arrive(self) -> None:
        inside = np.flatnonzero(self._mix > ENTERS)
        outside = np.flatnonzero((self._mix <= ENTERS) & (self._counts > 0))
        if not len(inside) or not len(outside):
            return
        leaves, comes = self._rng.choice(inside), self._rng.choice(outside)
        self._mix[[leaves, comes]] = self._mix[[comes, leaves]]
        self._came[comes] = self._at
