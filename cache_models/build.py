"""Build a cache version: measure, record, train, compose, calibrate, publish.

The data are split once, by a fixed seed, into parts that nothing mixes:

- train: the predictors learn on it;
- select: early stopping, the selectors, and the composition;
- calibrate: the promise, read once, after everything else is fixed.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cache_models.base_dnn import BaseDNN
from cache_models.composition import Outcome, compose, costs_by_exit
from cache_models.cost import candidates, median_ms, module_bytes, slice_costs
from cache_models.cutting import CutModel, cut
from cache_models.errors import DataError
from cache_models.features import feature_shape
from cache_models.learned_cache import LearnedCache, Variant
from cache_models.plan import CacheRecord, CutPointRecord, Expected, HopCost, Plan
from cache_models.promise import Limits, calibrate, cascade, min_samples
from cache_models.recording import record
from cache_models.store import CacheVersion, Store
from cache_models.training import train_cache

VARIANT = Variant(grid=4)
SHARES = {"train": 0.5, "select": 0.2, "calibrate": 0.3}


def build(
    base: BaseDNN,
    images: np.ndarray,
    data_name: str,
    store: Store,
    limits: Limits,
    hop: HopCost,
    device: str = "cpu",
    activation_bytes_per_value: int = 2,
    seed: int = 0,
    work: Path | None = None,
) -> CacheVersion:
    """Learn caches for `base` from `images` and publish them as the store's current version.

    Args:
        images: `(N, h, w, C)` uint8 or `(N, *input_shape)` float32; no labels are needed.
        data_name: what the plan says that the images were.
        work: keeps the recording, so that an interrupted build goes on with it.

    Raises:
        DataError: there are too few images for the promise.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    train, select, calibration = _split(order)
    needed = min_samples(limits.max_disagreement, 1 - limits.confidence)
    if len(calibration) < needed:
        raise DataError(
            f"{len(images)} samples are too few: the promise of at most "
            f"{limits.max_disagreement:.2%} disagreement at {limits.confidence:.0%} confidence "
            f"needs {needed} for calibration alone, {round(needed / SHARES['calibrate']) + 1} in "
            f"all. Give more, or raise --max-disagreement."
        )

    model = cut(base)
    points = survey(model, device, activation_bytes_per_value)
    base_ms = sum(_fine_costs(model, device))
    with tempfile.TemporaryDirectory(prefix="gati-recording-") as temporary:
        folder = work or Path(temporary)
        recording = record(base, model, [p.name for p in points], images, folder, device)
        answers, classes = recording.answers, recording.probabilities.shape[1]
        caches: dict[str, LearnedCache] = {}
        said: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for point in tqdm(points, desc="train", unit="cache"):
            features = recording.features[point.name]
            caches[point.name] = train_cache(
                VARIANT, features, recording.probabilities, train, select, seed
            )
            said[point.name] = _ask(caches[point.name], features)

    outcomes = [
        Outcome(
            point,
            said[point.name][0][select],
            said[point.name][1][select],
            lookup_ms=_lookup_ms(caches[point.name], feature_shape(point.activation_shape)),
            feature_bytes=2 * int(np.prod(feature_shape(point.activation_shape))),
        )
        for point in points
    ]
    input_bytes = images[0].nbytes
    chosen = compose(outcomes, answers[select], classes, base_ms, input_bytes, limits, hop)

    predictions = [said[o.cut_point.name][0][calibration] for o in chosen]
    confidences = [said[o.cut_point.name][1][calibration] for o in chosen]
    promise = calibrate(predictions, confidences, answers[calibration], classes, limits)
    if promise.threshold is None:
        chosen = []
    whole = costs_by_exit([], base_ms, input_bytes, 4 * classes, hop)
    costs = costs_by_exit(chosen, base_ms, input_bytes, 4 * classes, hop)
    names = [o.cut_point.name for o in chosen]
    exits = (
        cascade(predictions, confidences, promise.threshold)[0]
        if chosen
        else np.zeros(len(calibration), int)
    )
    shares = np.bincount(exits, minlength=len(chosen) + 1) / len(exits)
    plan = Plan(
        model=base.reference,
        fingerprint=base.fingerprint(),
        description=base.description,
        candidates=points,
        caches=[
            CacheRecord(
                cut_point=name,
                file=f"{name}.safetensors",
                variant=caches[name].variant,
                feature_shape=feature_shape(model[name].shape),
                memory_bytes=module_bytes(caches[name]),
                lookup_ms=o.lookup_ms,
                agreement=float((said[name][0][calibration] == answers[calibration]).mean()),
            )
            for name, o in zip(names, chosen, strict=True)
        ],
        promise=promise,
        expected=Expected(
            latency_ms=float(costs.latency_ms[exits].mean()),
            base_latency_ms=float(whole.latency_ms[-1]),
            compute_ms=float(costs.compute_ms[exits].mean()),
            base_compute_ms=base_ms,
            hit_rate=float(1 - shares[-1]),
            disagreement=promise.disagreements / promise.samples if chosen else 0.0,
            exits=dict(zip([*names, "base"], shares.tolist(), strict=True)),
        ),
        hop=hop,
        device=device,
        threads=torch.get_num_threads(),
        data=data_name,
    )
    return store.publish(plan, {f"{name}.safetensors": caches[name] for name in names})


def survey(
    model: CutModel, device: str = "cpu", activation_bytes_per_value: int = 2
) -> list[CutPointRecord]:
    """The candidate cut points with the measured cost of the slice that ends at each."""
    points = candidates(model, _fine_costs(model, device))
    costs = slice_costs(model, [p.name for p in points], device)
    total = sum(cost[1] for cost in costs)
    reached = np.cumsum([cost[1] for cost in costs]) / total
    return [
        CutPointRecord(
            name=point.name,
            activation_shape=point.shape,
            activation_bytes=point.activation_bytes(activation_bytes_per_value),
            slice_ms=cost,
            compute_share=float(share),
        )
        for point, cost, share in zip(points, costs, reached, strict=False)
    ]


def _fine_costs(model: CutModel, device: str) -> list[float]:
    names = [point.name for point in model.cut_points]
    return [cost[1] for cost in slice_costs(model, names, device, batches=(1,))]


def _split(order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ends = np.cumsum([round(share * len(order)) for share in SHARES.values()])
    train, select, calibration = np.split(order, ends[:2])
    return np.sort(train), np.sort(select), np.sort(calibration)


def _ask(cache: LearnedCache, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and confidence `(N,)` for features `(N, ...)`, in bounded memory."""
    predictions, confidences = [], []
    with torch.inference_mode():
        for start in range(0, len(features), 500):
            p, c = cache(torch.from_numpy(features[start : start + 500]))
            predictions.append(p.argmax(1).numpy())
            confidences.append(c.numpy())
    return np.concatenate(predictions), np.concatenate(confidences)


def _lookup_ms(cache: LearnedCache, shape: tuple[int, ...]) -> float:
    features = torch.zeros(1, *shape, dtype=torch.float16)
    with torch.inference_mode():
        return median_ms(lambda: cache(features))
