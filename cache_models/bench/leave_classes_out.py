"""Try the novelty gate: learn caches on a few of the base DNN's classes, and show them the others.

Every hit on another class changes the label, so the share of hits there is the share of confident
mistakes; what the gate costs is hits on the classes that were learned.
"""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import BaseModel
from tqdm import tqdm

from cache_models.build.split import LearningData
from cache_models.cache.asking import ask
from cache_models.cache.novelty import SAFETY, fit_gate
from cache_models.cache.training import train_cache
from cache_models.cache.variant import Variant
from cache_models.data.recording import Recording
from cache_models.network.recorded import rows_in_batches
from cache_models.promise.promise import Limits, calibrate, cascade

CURVE = (1.0, 1.25, SAFETY, 1.75, 2.0, 2.5)


class Trial(BaseModel):
    """What test inputs of known and of other classes met.

    Attributes:
        safety: of the gate's margin; None without a gate.
    """

    known: tuple[int, ...]
    safety: float | None
    hits_on_known: float
    wrong_on_known: float
    hits_on_others: float


def leave_classes_out(
    data: LearningData,
    caches: Sequence[tuple[str, Variant]],
    test: Recording,
    limits: Limits,
    trials: int = 10,
    known_classes: int = 3,
    curve: Sequence[float] = CURVE,
    seed: int = 0,
) -> list[Trial]:
    """`trials` random choices of classes, each without the gate and with it along the `curve`.

    Args:
        caches: cut points, in execution order, and the variants that are trained there.
        test: samples that tuned nothing.
    """
    answers, classes = data.recording.answers, data.recording.probabilities.shape[1]
    rng = np.random.default_rng(seed)
    made = []
    for _ in tqdm(range(trials), desc="leave classes out", unit="trial"):
        known = np.sort(rng.choice(classes, known_classes, replace=False))
        train, select, calibration = (
            rows[np.isin(answers[rows], known)]
            for rows in (data.train, data.select, data.calibrate)
        )
        own = np.isin(test.answers, known)
        # The gate only takes hits away, so predictors and selectors are asked once.
        asked = [
            _Asked(data.recording, name, variant, train, select, calibration, test)
            for name, variant in caches
        ]
        for safety in (None, *curve):
            said, tested = zip(*(cache.gated(safety) for cache in asked), strict=True)
            promise = calibrate(
                [labels for labels, _ in said],
                [confidences for _, confidences in said],
                answers[calibration],
                classes,
                limits,
            )
            hits, wrong = np.zeros(len(own), bool), np.zeros(len(own), bool)
            if promise.threshold is not None:
                labels = [labels for labels, _ in tested]
                confidences = [confidences for _, confidences in tested]
                _, given = cascade(labels, confidences, promise.threshold)
                hits = given >= 0
                wrong = hits & (given != test.answers)
            made.append(
                Trial(
                    known=tuple(known.tolist()),
                    safety=safety,
                    hits_on_known=float(hits[own].mean()),
                    wrong_on_known=float(wrong[own].mean()),
                    hits_on_others=float(hits[~own].mean()),
                )
            )
    return made


class _Asked:
    """One cache, trained without a gate, and what it says of calibration and test samples."""

    def __init__(self, recording, name, variant, train, select, calibration, test):
        self.features, self.probabilities = recording.features[name], recording.probabilities
        self.train, self.select = train, select
        cache = train_cache(variant, self.features, self.probabilities, train, select)
        self.samples = [
            (self.features, calibration),
            (test.features[name], np.arange(len(test.answers))),
        ]
        self.said = [ask(cache, *samples)[:2] for samples in self.samples]

    def gated(self, safety: float | None) -> list[tuple[np.ndarray, np.ndarray]]:
        """Labels and confidences of both, behind a gate of that safety."""
        if safety is None:
            return self.said
        gate = fit_gate(self.features, self.probabilities, self.train, self.select, safety)
        with torch.inference_mode():
            familiar = [
                torch.cat([gate(batch) for batch in rows_in_batches(*samples)]).numpy()
                for samples in self.samples
            ]
        return [
            (labels, confidences * mask)
            for (labels, confidences), mask in zip(self.said, familiar, strict=True)
        ]


def summary(trials: Sequence[Trial], classes: Sequence[str]) -> str:
    """A line a choice of classes with the gate as it is, and the curve of the trade."""
    bare = {t.known: t for t in trials if t.safety is None}
    width = max(len(_names(t.known, classes)) for t in trials)
    lines = [
        f"{'known classes':{width}}  {'hits on known':>21}  {'hits on others':>21}",
        f"{'':{width}}  {'no gate':>10} {'gate':>10}  {'no gate':>10} {'gate':>10}",
    ]
    for t in trials:
        if t.safety == SAFETY:
            without = bare[t.known]
            lines.append(
                f"{_names(t.known, classes):{width}}  {without.hits_on_known:10.1%} "
                f"{t.hits_on_known:10.1%}  {without.hits_on_others:10.1%} {t.hits_on_others:10.2%}"
            )
    lines += [
        "",
        f"{'safety':>8}  {'hits on others':>14}  {'at most':>8}  {'hits on known':>13}  "
        f"{'of those without gate':>21}  {'at least':>8}",
    ]
    for safety in dict.fromkeys(t.safety for t in trials):
        mine = [t for t in trials if t.safety == safety]
        others = [t.hits_on_others for t in mine]
        kept = [
            t.hits_on_known / bare[t.known].hits_on_known
            for t in mine
            if bare[t.known].hits_on_known
        ] or [np.nan]
        label = "no gate" if safety is None else f"{safety:.2f}" + "*" * (safety == SAFETY)
        lines.append(
            f"{label:>8}  {np.mean(others):14.2%}  {max(others):8.2%}  "
            f"{np.mean([t.hits_on_known for t in mine]):13.1%}  {np.mean(kept):21.1%}  "
            f"{min(kept):8.1%}"
        )
    return "\n".join(lines)


def _names(known: Sequence[int], classes: Sequence[str]) -> str:
    return ", ".join(classes[i] for i in known)
