"""Compare learned caches with other caches, offline, on the same recorded samples, at the same
promise: each contender is learned on `train`, chosen and tuned on `select`, calibrated on
`calibrate`, and reported on test samples that none of them has seen.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel
from tqdm import tqdm

from cache_models.bench.baselines import (
    ConfidenceExit,
    NeighbourCache,
    neighbour_caches,
    served,
    small_cnn,
)
from cache_models.bench.evaluation import disagreement_by_class
from cache_models.build import tables
from cache_models.build.composition import compose
from cache_models.build.measurement import Explored
from cache_models.build.pricing import Outcome, Pricing, compute_ms_by_exit, latency_ms_by_exit
from cache_models.build.split import LearningData
from cache_models.build.survey import Survey
from cache_models.cache.asking import ask
from cache_models.cache.variant import Variant
from cache_models.data.recording import Recording
from cache_models.network.cost import count_flops, median_ms, module_bytes, slice_flops
from cache_models.network.preprocessing import as_tensor
from cache_models.promise.promise import Limits, calibrate, cascade
from cache_models.store.plan import CutPointRecord

CNN_WIDTHS = (8, 16, 32)


class Row(BaseModel):
    """How one contender answered the test samples; milliseconds and MFLOP are a request's mean.

    Attributes:
        exits: share of requests by what answered.
        compute_ms: slices and lookups; `latency_ms` adds the hops of the deployments it would take.
        lookup_ms: of its dearest lookup at batch 1.
        disagreement_by_class: of the base DNN's label.
    """

    contender: str
    exits: dict[str, float]
    latency_ms: float
    compute_ms: float
    mflop: float
    memory_bytes: int
    lookup_ms: float
    disagreement: float
    disagreement_by_class: dict[str, float]


@dataclass(frozen=True)
class Contender:
    """One cache at one cut point: what it says, what asking it costs, and how to ask it."""

    outcome: Outcome
    cache: Callable
    flops: int


class Comparison:
    """The contenders' common ground."""

    def __init__(
        self,
        data: LearningData,
        costs: Survey,
        explored: Sequence[Explored],
        images: np.ndarray,
        test: Recording,
        test_images: np.ndarray,
        pricing: Pricing,
        limits: Limits,
        classes: Sequence[str],
        false_hit_cost: float = 1.0,
    ):
        """
        Args:
            costs: of a moment ago.
            explored: every variant at every cut point.
            images, test_images: the samples as they were given, `(N, h, w, C)` uint8.
            test: recorded at the same cut points; tuned nothing.
        """
        self.data, self.costs, self.explored, self.test = data, costs, explored, test
        self.images, self.test_images = images, test_images
        self.pricing, self.limits, self.classes = pricing, limits, classes
        self.false_hit_cost = false_hit_cost
        self.answers = data.recording.answers
        self.points = costs.candidates
        flops = np.cumsum(slice_flops(data.model, [p.name for p in self.points]))
        self.flops = dict(zip([p.name for p in self.points], flops.tolist(), strict=False))
        self.base_flops = int(flops[-1])

    def rows(self) -> list[Row]:
        """The table, whole."""
        steps = {
            "base DNN": self.base,
            "oracle": self.oracle,
            "learned caches": self.learned,
            "entropy exits": lambda: self.exits("entropy"),
            "probability exits": lambda: self.exits("probability"),
            "entropy exits, everywhere": lambda: self.exits_everywhere("entropy"),
            "probability exits, everywhere": lambda: self.exits_everywhere("probability"),
            "nearest neighbours": self.neighbours,
        }
        if self.images.ndim == 4:
            steps["model cascade"] = self.model_cascade
        rows = []
        with tqdm(steps.items(), desc="compare", unit="contender") as bar:
            for name, step in bar:
                bar.set_postfix_str(name)
                rows.append(step())
        return rows

    def base(self) -> Row:
        exits = np.zeros(len(self.test.answers), int)
        costs = [np.array([cost]) for cost in (self.pricing.rest_ms(None), self.pricing.base_ms)]
        flops = np.array([self.base_flops])
        return self._row("base DNN", ["base"], exits, self.test.answers, *costs, flops, 0, 0.0)

    def oracle(self) -> Row:
        """Leaves, for nothing, at the first cut point where any predictor is right."""
        exits = np.full(len(self.test.answers), len(self.points))
        for e in self.explored:
            place = self.points.index(e.outcome.cut_point)
            labels = self._ask(e.cache, e.outcome.cut_point.name, self.test)[0]
            exits[labels == self.test.answers] = np.minimum(
                exits[labels == self.test.answers], place
            )
        names = [p.name for p in self.points]
        compute = compute_ms_by_exit(
            [p.compute_share for p in self.points], [0.0] * len(self.points), self.pricing.base_ms
        )
        flops = np.array([*(self.flops[name] for name in names), self.base_flops])
        return self._row(
            "oracle", [*names, "base"], exits, self.test.answers, compute, compute, flops, 0, 0.0
        )

    def learned(self) -> Row:
        contenders = [
            Contender(e.outcome, e.cache, _flops(e.cache, self._shape(e.outcome)))
            for e in self.explored
        ]
        return self._composed("learned caches", contenders)

    def exits(self, measure: str) -> Row:
        """The same predictors, trusted by their confidence, placed by the same composition."""
        return self._composed(f"{measure} exits, composed", self._exits(measure, self.explored))

    def exits_everywhere(self, measure: str) -> Row:
        """An exit at every candidate cut point, as published: its most agreeing predictor there."""
        best = [
            max(
                (e for e in self.explored if e.outcome.cut_point is point),
                key=lambda e: e.record.agreement,
            )
            for point in self.points
        ]
        return self._calibrated(f"{measure} exits, everywhere", self._exits(measure, best))

    def neighbours(self) -> Row:
        contenders = []
        for point in tqdm(self.points, desc="neighbours", unit="cut point", leave=False):
            features = self.data.recording.features[point.name]
            for cache in neighbour_caches(
                features,
                self.answers,
                self.data.train,
                self.data.select,
                len(self.classes),
                self.false_hit_cost,
            ):
                contenders.append(self._contender(cache, point, cache.memory_bytes, cache.flops))
        return self._composed("nearest neighbours", contenders)

    def model_cascade(self) -> Row:
        """A small distilled CNN before the whole base DNN, in one deployment: a single hop."""
        images, test_images = (_planes(images) for images in (self.images, self.test_images))
        best = None
        for width in CNN_WIDTHS:
            cnn = small_cnn(
                images,
                self.data.recording.probabilities,
                self.data.train,
                self.data.select,
                width,
                self.false_hit_cost,
            )
            lookup_ms = _median_ms(cnn, torch.from_numpy(images[:1]))
            selected = ask(cnn, images, self.data.select)
            promise = self._promise([selected], self.data.select)
            if promise.threshold is None:
                continue
            misses = float((selected[1] < promise.threshold).mean())
            expected_ms = lookup_ms + misses * self.pricing.base_ms
            if best is None or expected_ms < best[0]:
                best = (expected_ms, width, cnn, lookup_ms)
        if best is None:
            return self._off("model cascade")
        _, width, cnn, lookup_ms = best
        promise = self._promise([ask(cnn, images, self.data.calibrate)], self.data.calibrate)
        labels, confidences, _ = ask(cnn, test_images, np.arange(len(test_images)))
        hit = confidences >= (np.inf if promise.threshold is None else promise.threshold)
        compute = np.array([lookup_ms, lookup_ms + self.pricing.base_ms])
        hop_ms = self.pricing.rest_ms(None) - self.pricing.base_ms
        flops = _flops(cnn, images.shape[1:])
        return self._row(
            "model cascade",
            [f"CNN-{width}", "base"],
            np.where(hit, 0, 1),
            np.where(hit, labels, self.test.answers),
            compute + hop_ms,
            compute,
            np.array([flops, flops + self.base_flops]),
            module_bytes(cnn),
            lookup_ms,
        )

    def _exits(self, measure: str, explored: Sequence[Explored]) -> list[Contender]:
        made = []
        for e in explored:
            exit = ConfidenceExit(e.cache.predictor, measure).eval()
            flops = _flops(exit, self._shape(e.outcome))
            made.append(
                self._contender(
                    exit, e.outcome.cut_point, module_bytes(exit), flops, e.outcome.variant
                )
            )
        return made

    def _contender(
        self,
        cache: Callable,
        point: CutPointRecord,
        memory_bytes: int,
        flops: int,
        variant: Variant | None = None,
    ) -> Contender:
        features = self.data.recording.features[point.name]
        labels, confidences, _ = ask(cache, features, self.data.select)
        lookup_ms = _median_ms(cache, torch.from_numpy(features[:1]))
        lookup_ms += self.costs.features_ms(point, 1)
        outcome = Outcome(
            point, variant, labels, confidences, lookup_ms, features[0].nbytes, memory_bytes
        )
        return Contender(outcome, cache, flops)

    def _composed(self, name: str, contenders: list[Contender]) -> Row:
        chosen = compose(
            [c.outcome for c in contenders],
            self.answers[self.data.select],
            len(self.classes),
            self.pricing,
            self.limits,
            len(self.data.calibrate),
        )
        return self._calibrated(
            name, [c for o in chosen.caches for c in contenders if c.outcome is o]
        )

    def _calibrated(self, name: str, chosen: list[Contender]) -> Row:
        """What the chosen caches answer to the test samples at their calibrated threshold."""
        names = [c.outcome.cut_point.name for c in chosen]
        said = [
            self._ask(c.cache, at, self.data.recording, self.data.calibrate)
            for c, at in zip(chosen, names, strict=True)
        ]
        promise = self._promise(said, self.data.calibrate)
        if promise.threshold is None:
            return self._off(name)
        said = [self._ask(c.cache, at, self.test) for c, at in zip(chosen, names, strict=True)]
        exits, labels = cascade(
            [labels for labels, _, _ in said], [c for _, c, _ in said], promise.threshold
        )
        outcomes = [c.outcome for c in chosen]
        lookups = np.cumsum([*(c.flops for c in chosen), 0])
        return self._row(
            name,
            [*(f"{at} {_kind(c)}" for at, c in zip(names, chosen, strict=True)), "base"],
            exits,
            np.where(labels < 0, self.test.answers, labels),
            latency_ms_by_exit(outcomes, self.pricing),
            compute_ms_by_exit(
                [o.cut_point.compute_share for o in outcomes],
                [o.lookup_ms for o in outcomes],
                self.pricing.base_ms,
            ),
            np.array([*(self.flops[at] for at in names), self.base_flops]) + lookups,
            sum(o.memory_bytes for o in outcomes),
            max(o.lookup_ms for o in outcomes),
        )

    def _off(self, name: str) -> Row:
        return self.base().model_copy(update={"contender": f"{name} (off: keeps no promise)"})

    def _row(
        self,
        name,
        exit_names,
        exits,
        labels,
        latency_ms,
        compute_ms,
        flops,
        memory_bytes,
        lookup_ms,
    ) -> Row:
        """
        Args:
            exits, labels: `(N,)`, of the test samples.
            latency_ms, compute_ms, flops: by exit.
        """
        wrong = labels != self.test.answers
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

    def _promise(self, said: Sequence[tuple], rows: np.ndarray):
        return calibrate(
            [labels for labels, _, _ in said],
            [confidences for _, confidences, _ in said],
            self.answers[rows],
            len(self.classes),
            self.limits,
        )

    def _ask(self, cache: Callable, at: str, recording: Recording, rows: np.ndarray | None = None):
        rows = np.arange(len(recording.answers)) if rows is None else rows
        return ask(cache, recording.features[at], rows)

    def _shape(self, outcome: Outcome) -> tuple[int, ...]:
        return self.data.recording.features[outcome.cut_point.name].shape[1:]


def table(rows: Sequence[Row]) -> str:
    """For a person to read, in Markdown."""
    lines = [
        "| | exits | latency ms | compute ms | MFLOP | KB | lookup ms | differ | worst class |",
        "| --- " * 9 + "|",
    ]
    for r in rows:
        worst = max(r.disagreement_by_class, key=r.disagreement_by_class.get)
        exits = ", ".join(f"{name} {share:.1%}" for name, share in r.exits.items())
        lines.append(
            f"| {r.contender} | {exits} | {r.latency_ms:.1f} | {r.compute_ms:.1f} | {r.mflop:.0f} "
            f"| {r.memory_bytes / 1e3:.0f} | {r.lookup_ms:.2f} | {r.disagreement:.2%} "
            f"| {worst} {r.disagreement_by_class[worst]:.1%} |"
        )
    return "\n".join(lines)


def as_csv(rows: Sequence[Row]) -> str:
    """For pandas; exits and classes as JSON."""
    return tables.as_csv(rows, Row, lambda v: json.dumps(v) if isinstance(v, dict) else v)


def _kind(contender: Contender) -> str:
    cache = contender.cache
    if isinstance(cache, NeighbourCache):
        return f"{cache.k} of {cache.samples}"
    return contender.outcome.variant.name


def _planes(images: np.ndarray) -> np.ndarray:
    return as_tensor(images).numpy()


def _median_ms(cache: Callable, features: torch.Tensor) -> float:
    if isinstance(cache, torch.nn.Module):
        cache = served(cache, features)
    with torch.inference_mode():
        return median_ms(lambda: cache(features))


def _flops(cache: torch.nn.Module, shape: tuple[int, ...]) -> int:
    with torch.no_grad():
        return count_flops(cache, torch.zeros(1, *shape))[1]
