"""Exploration: train every variant at every candidate cut point.

Each cache is kept in the work folder as soon as it is trained, so that an interrupted exploration
goes on with the next. Memory holds one batch of features and the trained caches, whatever the
number of samples.
"""

import functools
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from tqdm import tqdm

from cache_models.cache.learned_cache import LearnedCache, load_cache, save_cache
from cache_models.cache.novelty import fit_gate
from cache_models.cache.predictors import VARIANTS, variants_for
from cache_models.cache.training import RECIPE, train_cache
from cache_models.cache.variant import Variant
from cache_models.data.recording import Recording
from cache_models.errors import DataError
from cache_models.network.recorded import is_constant


@dataclass(frozen=True)
class Trained:
    """A cache for the cut point of that name, and the seconds that it took."""

    cut_point: str
    cache: LearnedCache
    training_s: float


def explore(
    recording: Recording,
    train: np.ndarray,
    select: np.ndarray,
    folder: Path,
    false_hit_cost: float = 1.0,
    seed: int = 0,
    copies: Sequence[int] = (),
    only: Sequence[str] | None = None,
    device: str = "cpu",
) -> list[Trained]:
    """Train all variants at all of the recording's cut points whose features vary.

    Args:
        train, select: disjoint indices into the recording's samples, ascending.
        folder: keeps the trained caches; those of the same recording are not trained again.
        copies: more of its samples, for predictors alone: gates learn on real ones.
        only: names of the variants to try; by default all.
        device: where predictors learn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (i, name, variant)
        for i, (name, features) in enumerate(recording.features.items())
        if not is_constant(features)
        for variant in variants_for(features.shape[1:])
        if only is None or variant.name in only
    ]
    taught = np.append(train, copies).astype(int)
    rows = f"{taught.tolist()} {select.tolist()}"
    digest = hashlib.sha256(
        f"{recording.digest} {RECIPE} {false_hit_cost} {seed} {rows}".encode()
    ).hexdigest()
    classes = recording.probabilities.shape[1]
    gate_at = functools.cache(
        lambda name: fit_gate(recording.features[name], recording.probabilities, train, select)
    )
    trained = []
    with tqdm(jobs, desc="explore", unit="cache") as bar:
        for i, name, variant in bar:
            bar.set_postfix_str(f"{name} {variant.name}")
            features = recording.features[name]
            file = folder / f"{i}-{variant.name}.safetensors"
            cache, training_s = _kept(file, digest, variant, features.shape[1:], classes)
            if cache is None:
                start = time.perf_counter()
                cache = train_cache(
                    variant,
                    features,
                    recording.probabilities,
                    taught,
                    select,
                    false_hit_cost,
                    seed,
                    gate_at(name),
                    device,
                )
                training_s = time.perf_counter() - start
                _keep(file, digest, cache, training_s)
            trained.append(Trained(name, cache, training_s))
    return trained


def check_variants(names: Sequence[str]) -> None:
    """
    Raises:
        DataError: one of them is no variant.
    """
    known = [Variant(family=f, size=size).name for f, sizes in VARIANTS.items() for size in sizes]
    if unknown := set(names).difference(known):
        raise DataError(f"{', '.join(sorted(unknown))} is no variant; those are {', '.join(known)}")


def _keep(file: Path, digest: str, cache: LearnedCache, training_s: float) -> None:
    save_cache(cache, file)
    about = {"exploration": digest, "training_s": training_s}
    file.with_suffix(".json").write_text(json.dumps(about))


def _kept(
    file: Path, digest: str, variant: Variant, shape: tuple[int, ...], classes: int
) -> tuple[LearnedCache | None, float]:
    try:
        about = json.loads(file.with_suffix(".json").read_text())
        if about["exploration"] != digest:
            return None, 0.0
        return load_cache(file, variant, shape, classes), float(about["training_s"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        return None, 0.0
