"""Stores for this system's applications: each serves a copy of its own, which it may write to."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cache_models.cache.architecture import STATISTICS
from cache_models.cache.learned_cache import LearnedCache, Selector
from cache_models.cache.novelty import NoveltyGate
from cache_models.errors import DataError
from cache_models.follow.said import load_said
from cache_models.promise.promise import calibrate
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store
from workload.compare.systems.apparate import SAID

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


def whole_copy(store: Store, folder: Path) -> Store:
    """A copy of `store` at `folder` with all versions, and without what somebody's trainer keeps
    beside them."""
    shutil.copytree(store.folder, folder, ignore=shutil.ignore_patterns(LOG + "*"))
    return Store(folder)


def without_caches(version: CacheVersion, folder: Path) -> CacheVersion:
    """Publish, to a store at `folder`, the base DNN of `version` alone: whole, in one partition.

    Returns:
        `version` with that plan.
    """
    plan = version.plan.model_copy(update={"caches": [], "alternatives": []})
    Store(folder).publish(plan, {})
    return replace(version, plan=plan)


def entropy_store(version: CacheVersion, folder: Path) -> Store:
    """A store whose caches are those of `version`, but trusted by their entropy alone, at a
    threshold that is calibrated on the same samples to the same promise (BranchyNet:
    Teerapittayanon et al. 2016); off where none keeps it.

    Raises:
        ArtifactError: the version lacks what its caches said of the calibration samples.
    """
    plan = version.plan
    said = load_said(version)
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


def exits_store(version: CacheVersion, folder: Path) -> Store:
    """A store that holds `version` alone, and what its predictors said of the calibration samples:
    how unsure each was is one minus the largest of its probabilities.

    Raises:
        DataError: it has none.
        ArtifactError: as `entropy_store`.
    """
    if not version.plan.caches:
        raise DataError("the plan has no caches, so there is nowhere to exit")
    said = load_said(version)
    probabilities, labels = torch.stack(said.scores).softmax(2).max(2)
    store = copy_of(version, folder)
    np.savez(folder / SAID, labels=labels, errors=1 - probabilities, answers=said.answers)
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
        selector.linear.weight[0, STATISTICS - 1] = -STEEPNESS  # the entropy comes last
    return selector


def entropy_path(classes: int) -> np.ndarray:
    """Confidences to try, strict to loose: entropies from next to none to the greatest possible,
    evenly apart in their logarithm; fixed, so never tuned."""
    entropies = np.geomspace(1e-4, np.log(classes), 200)
    return 1 / (1 + np.exp(STEEPNESS * entropies))
