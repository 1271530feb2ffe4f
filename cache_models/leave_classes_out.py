"""Try the novelty gate: learn caches on a few of the base DNN's classes, and show them the others.

Every hit on another class changes the label, so the share of hits there is the share of confident
mistakes; what the gate costs is hits on the classes that were learned.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel
from tqdm import tqdm

from cache_models.exploration import ask
from cache_models.learned_cache import LearnedCache
from cache_models.learning_data import LearningData
from cache_models.novelty import SAFETY, NoveltyGate, fit_gate
from cache_models.predictors import Variant
from cache_models.promise import Limits, calibrate, cascade
from cache_models.recording import Recording
from cache_models.training import train_cache

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
        trained = [_train(data.recording, *cache, train, select) for cache in caches]
        own = np.isin(test.answers, known)
        for safety in (None, *curve):
            for (name, _), cache in zip(caches, trained, strict=True):
                cache.gate = _gate(data.recording, name, train, select, safety)
            predictions, confidences = _ask_all(caches, trained, data.recording, calibration)
            promise = calibrate(predictions, confidences, answers[calibration], classes, limits)
            hits, wrong = np.zeros(len(own), bool), np.zeros(len(own), bool)
            if promise.threshold is not None:
                said = _ask_all(caches, trained, test, np.arange(len(own)))
                _, labels = cascade(*said, promise.threshold)
                hits = labels >= 0
                wrong = hits & (labels != test.answers)
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


def _train(recording, name, variant, train, select) -> LearnedCache:
    return train_cache(variant, recording.features[name], recording.probabilities, train, select)


def _gate(recording, name, train, select, safety) -> NoveltyGate:
    features, probabilities = recording.features[name], recording.probabilities
    if safety is None:
        return NoveltyGate(features.shape[1:], probabilities.shape[1])
    return fit_gate(features, probabilities, train, select, safety)


def _ask_all(caches, trained, recording, rows) -> tuple[list[np.ndarray], list[np.ndarray]]:
    said = [
        ask(cache, recording.features[name], rows)
        for (name, _), cache in zip(caches, trained, strict=True)
    ]
    return [labels for labels, _, _ in said], [confidences for _, confidences, _ in said]


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
