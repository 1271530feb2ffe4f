"""The same samples, the same prices and the same promise for every contender of a comparison: each
is learned on `train`, chosen and tuned on `select`, calibrated on `calibrate`, and reported on test
samples that none of them has seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from cache_models.bench.baselines import served
from cache_models.bench.evaluation import disagreement_by_class
from cache_models.bench.rows import Row
from cache_models.build.composition import compose
from cache_models.build.dependence import dependence
from cache_models.build.measurement import Explored
from cache_models.build.pricing import Outcome, Pricing, compute_ms_by_exit, latency_ms_by_exit
from cache_models.build.split import LearningData
from cache_models.build.survey import Survey
from cache_models.cache.asking import Asked, ask
from cache_models.data.recording import Recording
from cache_models.data.streams import Streams
from cache_models.errors import DataError
from cache_models.network.cost import count_flops, median_ms, slice_flops
from cache_models.network.stages import BASE
from cache_models.promise.promise import Limits, Promise, calibrate, cascade, min_samples
from cache_models.store.plan import CutPointRecord

Said = tuple[np.ndarray, np.ndarray]
"""Labels and confidences of some samples."""


@dataclass(frozen=True)
class Candidate:
    """One cache at one cut point: what it says, what asking it costs, and how to ask it.

    Attributes:
        kind: of cache, for people.
    """

    kind: str
    outcome: Outcome
    cache: Asked
    flops: int

    @property
    def at(self) -> str:
        """Its cut point."""
        return self.outcome.cut_point.name


class Costs(NamedTuple):
    """Milliseconds by exit, `(E + 1,)` each, the base DNN last."""

    latency_ms: np.ndarray
    compute_ms: np.ndarray


class Contest:
    """
    Args:
        costs: of a moment ago.
        test: recorded at the same cut points; tuned nothing.
    """

    def __init__(
        self,
        data: LearningData,
        costs: Survey,
        test: Recording,
        pricing: Pricing,
        limits: Limits,
        classes: Sequence[str],
        false_hit_cost: float = 1.0,
    ):
        self.data, self.costs, self.test, self.pricing = data, costs, test, pricing
        self.classes, self.false_hit_cost = classes, false_hit_cost
        self.limits = limits
        self.answers = data.recording.answers
        self.points = costs.candidates
        flops = np.cumsum(slice_flops(data.model, [p.name for p in self.points]))
        self.flops = dict(zip([p.name for p in self.points], flops.tolist(), strict=False))
        self.base_flops = int(flops[-1])

    def candidate(
        self, cache: Asked, kind: str, point: CutPointRecord, memory_bytes: int, flops: int
    ) -> Candidate:
        """A trained cache, asked about the selection samples and timed."""
        features = self.data.recording.features[point.name]
        labels, confidences, _ = ask(cache, features, self.data.select)
        lookup_ms = asked_ms(cache, features[:1])
        lookup_ms += self.costs.features_ms(point, 1)
        outcome = Outcome(point, labels, confidences, lookup_ms, features[0].nbytes, memory_bytes)
        return Candidate(kind, outcome, cache, flops)

    def composed(self, name: str, candidates: list[Candidate]) -> Row:
        """Those that the composition chooses."""
        chosen = compose(
            [c.outcome for c in candidates],
            self.answers[self.data.select],
            len(self.classes),
            self.pricing,
            self.limits,
            len(self.data.calibrate),
        )
        return self.calibrated(
            name, [c for o in chosen.caches for c in candidates if c.outcome is o]
        )

    def calibrated(self, name: str, chosen: list[Candidate]) -> Row:
        """What these caches answer to the test samples at their calibrated threshold."""
        recording, calibrate_on = self.data.recording, self.data.calibrate
        said = [ask(c.cache, recording.features[c.at], calibrate_on)[:2] for c in chosen]
        threshold = self.promise(said, calibrate_on).threshold
        if threshold is None:
            return self.off(name)
        exits, labels = cascade(
            *self._split([self.asked(c.cache, c.at) for c in chosen]), threshold
        )
        return self.answered(name, chosen, exits, labels)

    def answered(
        self, name: str, chosen: list[Candidate], exits: np.ndarray, labels: np.ndarray
    ) -> Row:
        """What these caches answer where test samples leave so."""
        costs, outcomes = self.costs_of(chosen), [c.outcome for c in chosen]
        lookups = np.cumsum([*(c.flops for c in chosen), 0])
        return self.row(
            name,
            [*(f"{c.at} {c.kind}" for c in chosen), BASE],
            exits,
            labels,
            costs.latency_ms,
            costs.compute_ms,
            np.array([*(self.flops[c.at] for c in chosen), self.base_flops]) + lookups,
            sum(o.memory_bytes for o in outcomes),
            max(o.lookup_ms for o in outcomes),
        )

    def costs_of(self, chosen: list[Candidate]) -> Costs:
        """Of a request that leaves at each of them, or at the end."""
        outcomes = [c.outcome for c in chosen]
        return Costs(
            latency_ms_by_exit(outcomes, self.pricing),
            compute_ms_by_exit(
                [o.cut_point.compute_share for o in outcomes],
                [o.lookup_ms for o in outcomes],
                self.pricing.base_ms,
            ),
        )

    def asked(self, cache: Asked, at: str) -> Said:
        """What a cache at that cut point says of the test samples."""
        features = self.test.features[at]
        labels, confidences, _ = ask(cache, features, np.arange(len(features)))
        return labels, confidences

    def promise(self, said: Sequence[Said], rows: np.ndarray) -> Promise:
        """What caches that say so of these samples can promise."""
        answers = self.answers[rows]
        return calibrate(*self._split(said), answers, len(self.classes), self.limits)

    def base(self) -> Row:
        """The base DNN alone."""
        nobody = np.full(len(self.test.answers), -1)
        latency_ms, compute_ms = self.pricing.rest_ms(None), self.pricing.base_ms
        return self.row(
            "base DNN",
            [BASE],
            np.zeros(len(nobody), int),
            nobody,
            np.array([latency_ms]),
            np.array([compute_ms]),
            np.array([self.base_flops]),
        )

    def off(self, name: str) -> Row:
        """Who keeps no promise answers nothing."""
        return self.base().model_copy(update={"contender": f"{name} (off: keeps no promise)"})

    def row(
        self,
        name: str,
        exit_names: Sequence[str],
        exits: np.ndarray,
        labels: np.ndarray,
        latency_ms: np.ndarray,
        compute_ms: np.ndarray,
        flops: np.ndarray,
        memory_bytes: int = 0,
        lookup_ms: float = 0.0,
    ) -> Row:
        """
        Args:
            exits, labels: `(N,)`, of the test samples; -1 where the base DNN answers.
            latency_ms, compute_ms, flops: by exit.
        """
        wrong = (labels >= 0) & (labels != self.test.answers)
        taken = np.bincount(exits, minlength=len(exit_names)) / len(exits)
        return Row(
            contender=name,
            exits=dict(zip(exit_names, taken.tolist(), strict=True)),
            latency_ms=float(latency_ms[exits].mean()),
            compute_ms=float(compute_ms[exits].mean()),
            mflop=float(flops[exits].mean() / 1e6),
            memory_bytes=memory_bytes,
            lookup_ms=lookup_ms,
            disagreement=float(wrong.mean()),
            disagreement_by_class=disagreement_by_class(wrong, self.test.answers, self.classes),
        )

    @staticmethod
    def _split(said: Sequence[Said]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return [labels for labels, _ in said], [confidences for _, confidences in said]


def independent(
    data: LearningData, explored: Sequence[Explored], streams: Streams, limits: Limits
) -> LearningData:
    """Of the samples that calibrate those alone that know nothing of each other, as far as the
    cache that agrees most with the base DNN can tell.

    Raises:
        DataError: they are too few for the promise.
    """
    if not explored:
        raise DataError("the samples are all alike, so there is nothing to compare")
    first = max(explored, key=lambda e: e.record.agreement).outcome
    answers = data.recording.answers[data.select]
    found = dependence(streams, data.select, first.predictions, first.confidences, answers)
    apart = found.independent(data.calibrate, float(streams.at[data.select].max()))
    needed = min_samples(limits.max_disagreement, 1 - limits.confidence)
    if len(apart) < needed:
        raise DataError(found.told(len(data.calibrate), len(apart), needed))
    return replace(data, calibrate=apart)


def asked_ms(cache: Asked, features: np.ndarray) -> float:
    """Median milliseconds of asking a cache in the form in which it would be served: a module in
    the engine that learned caches have, with one thread, and anything else as it is."""
    if isinstance(cache, nn.Module):
        engine = served(cache, features.shape[1:])
        return median_ms(lambda: engine(features.astype(np.float32, copy=False)))
    with torch.inference_mode():
        return median_ms(lambda: cache(torch.from_numpy(features)))


def flops_of(cache: nn.Module, shape: tuple[int, ...]) -> int:
    """Of asking it about one sample."""
    with torch.no_grad():
        return count_flops(cache, torch.zeros(1, *shape))[1]
