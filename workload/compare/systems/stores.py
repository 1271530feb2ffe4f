"""Stores for this system's applications: each serves a copy of its own, which it may write to."""

import shutil
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cache_models.cache.learned_cache import LearnedCache, Selector
from cache_models.cache.novelty import NoveltyGate
from cache_models.data.datasets import cache_home
from cache_models.follow import reservoir
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.base_dnn import BaseDNN
from cache_models.promise import prior
from cache_models.promise.promise import calibrate
from cache_models.store.versions import CacheVersion, Store, working_copy

LOG = "traffic.sqlite"
"""Beside the versions, as the trainer calls it."""

STEEPNESS = 4.0
"""Of an entropy exit's confidence `sigmoid(-STEEPNESS * entropy)`; any will do, since only the
order of confidences decides. This one keeps them apart in float32 up to an entropy of 4 nats."""


def copy_of(version: CacheVersion, folder: Path) -> Store:
    """A store at `folder` that holds `version` alone."""
    target = folder / "versions" / str(version.number)
    target.parent.mkdir(parents=True)
    shutil.copytree(version.folder, target)
    store = Store(folder)
    store.make_current(version.number)
    return store


def recorded_copy(store: Store, base: BaseDNN, folder: Path, device: str = "cpu") -> Store:
    """A copy of `store` at `folder` as it is after some hours of service without requests: its
    trainer has recorded the build's samples. They are recorded once and kept on disk, so that no
    trainer does it while others are measured."""
    kept = working_copy(store, cache_home() / "compare" / "stores")
    version = kept.current()
    if reservoir.has_samples(version):
        plan = version.plan
        shapes = [cache.feature_shape for cache in plan.caches]
        log = TrafficLog(kept.folder / LOG, shapes, len(plan.description.classes))
        batches = reservoir.record_build(version, base, log, device)
        for _ in tqdm(batches, desc="the build's samples", unit="batch"):
            pass
        del log  # which closes its file
    shutil.copytree(kept.folder, folder)
    return Store(folder)


def entropy_store(version: CacheVersion, folder: Path) -> Store:
    """A store whose caches are those of `version`, but trusted by their entropy alone, at a
    threshold that is calibrated on the same samples to the same promise (BranchyNet:
    Teerapittayanon et al. 2016); off where none keeps it.

    Raises:
        ArtifactError: the version lacks what its caches said of the calibration samples.
    """
    plan = version.plan
    said = prior.load_said(version)
    selector = entropy_selector()
    with torch.inference_mode():
        confidences = [selector(scores).numpy() for scores in said.scores]
    promise = calibrate(
        [scores.argmax(1).numpy() for scores in said.scores],
        confidences,
        said.answers,
        len(plan.description.classes),
        plan.promise.limits,
        entropy_path(len(plan.description.classes)),
    )
    caches = {}
    for i, record in enumerate(plan.caches):
        cache = version.load(i)
        caches[record.file] = entropy_cache(cache, record.feature_shape)
    plan = plan.model_copy(update={"promise": promise, "alternatives": []})
    store = Store(folder)
    store.publish(plan, caches)
    return store


def entropy_cache(cache: LearnedCache, feature_shape: tuple[int, ...]) -> LearnedCache:
    """The same predictor, trusted by its entropy, on any input however novel."""
    classes = cache.predictor(torch.zeros(1, *feature_shape)).shape[1]
    made = LearnedCache(cache.variant, feature_shape, classes, NoveltyGate(feature_shape, classes))
    made.predictor = cache.predictor
    made.selector = entropy_selector()
    return made.eval()


def entropy_selector() -> Selector:
    """A learned cache's selector whose weights leave of its statistics the entropy alone."""
    selector = Selector()
    with torch.no_grad():
        selector.linear.weight.zero_()
        selector.linear.bias.zero_()
        selector.linear.weight[0, Selector.STATISTICS - 1] = -STEEPNESS  # the entropy comes last
    return selector


def entropy_path(classes: int) -> np.ndarray:
    """Confidences to try, strict to loose: entropies from next to none to the greatest possible,
    evenly apart in their logarithm; fixed, so never tuned."""
    entropies = np.geomspace(1e-4, np.log(classes), 200)
    return 1 / (1 + np.exp(STEEPNESS * entropies))
