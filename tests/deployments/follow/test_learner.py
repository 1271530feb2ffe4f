"""The learner begins with what the build has left, and needs the base DNN for none of it."""

import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from cache_models.bench.evaluation import base_answers, evaluate
from cache_models.cascade import Said
from cache_models.follow import recording
from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.traffic import Sample
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.base_dnn import load
from cache_models.network.features import input_features
from cache_models.store.copies import working_copy
from cache_models.store.files import ALTERNATIVES, SAMPLES
from cache_models.store.strata import TEST
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from deployments.follow.learner import Learner
from deployments.follow.messages import Observation
from tests.remembering import LIMITS, built_on_scenes
from tests.streams import scenes


@pytest.fixture
def shipped(tmp_path):
    return working_copy(Store(STORE), tmp_path)


@pytest.fixture
def log(tmp_path, shipped):
    plan = shipped.current().plan
    shapes = [cache.feature_shape for cache in plan.caches]
    classes, file = len(plan.description.classes), tmp_path / "traffic.sqlite"
    return TrafficLog(file, shapes, classes, description=plan.description)


def test_rounds_can_begin_at_once_with_the_shipped_store(shipped, log, monkeypatch):
    monkeypatch.setattr(recording, "partition_engine", None)  # the base DNN is not asked for
    version = shipped.current()
    learner = Learner(version.plan, str(shipped.folder), log, lambda: None)
    assert learner.may_begin
    assert learner.record_build(0.0)
    assert log.count(build=True) == len(BuildSamples(version).roles) > 5_000


def test_without_its_samples_rounds_go_on_with_the_traffic_alone(shipped, log):
    version = shipped.current()
    file = version.folder / SAMPLES
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    learner = Learner(version.plan, str(shipped.folder), log, lambda: None)
    assert learner.may_begin
    assert log.count(build=True) == 0


def test_the_shipped_samples_features_are_those_that_the_caches_know(shipped):
    """What the calibration samples' features made the caches say is in the store, too."""
    version = shipped.current()
    build, said = BuildSamples(version), version.tensors(ALTERNATIVES)
    rows = np.flatnonzero(build.roles == TEST)[:40]
    (features,) = build.features(rows)
    with torch.inference_mode():
        scores = version.load(0).predictor(torch.from_numpy(features)).log_softmax(1)
    known = said["scores.0"].float()
    nearest = (known[None] - scores[:, None]).abs().amax(2).amin(1)
    assert nearest.max() < 1e-3


@pytest.mark.parametrize(
    ("said", "agreement"),
    [((Said(3, 0.75),), 0.75), ((Said(2, 0.75),), -0.75), ((None,), np.nan), ((), np.nan)],
)
def test_a_sample_keeps_what_tells_how_long_answers_stay_alike(shipped, log, said, agreement):
    plan = shipped.current().plan
    learner = Learner(plan, str(shipped.folder), log, lambda: None)
    picture = np.zeros((28, 28, 1), np.uint8)
    probabilities = np.eye(10, dtype=np.float32)[3]
    observed = Observation(
        3, "base", said, 1, 20.0, 20.0, "00ff", 5.0, (picture,), False, probabilities
    )
    sample = learner.sample(observed)
    assert (sample.weight, sample.stream, sample.at) == (20.0, "00ff", 5.0)
    assert np.array_equal(sample.agreement, agreement, equal_nan=True)


@pytest.mark.parametrize("keep", ["inputs", "features"])
def test_what_is_kept_of_an_observation_says_the_same_of_it(shipped, log, keep):
    plan = shipped.current().plan
    learner = Learner(plan, str(shipped.folder), log, lambda: None, keep=keep)
    picture = np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)
    probabilities = np.full(10, 0.1, np.float32)
    observation = Observation(
        3, "base", (None,), 1, 1.0, 1.0, "", 0.0, (picture,), False, probabilities
    )
    sample = learner.sample(observation)
    log.add([replace(sample, at=time.time())])
    given = [] if sample.input is None else [sample.input]
    held = sum(part.nbytes for part in [*sample.features, *given])
    assert held == (784 if keep == "inputs" else 2 * 3 * 32 * 32)
    (features,) = log.window().features
    assert np.array_equal(features, input_features(plan.description, picture[None]))


def test_rounds_leave_nothing_in_memory(shipped, log):
    version = shipped.current()
    learner = Learner(version.plan, str(shipped.folder), log, lambda: None)
    build, rng, taken = BuildSamples(version), np.random.default_rng(0), []
    few = np.flatnonzero(build.answers < 3)  # so that it is soon seen what would be gained
    inputs, said = np.concatenate(list(build.inputs(few))), build.probabilities(few)
    (shape,) = (cache.feature_shape for cache in version.plan.caches)
    for _ in range(4):
        rows = rng.choice(len(few), 1_000)
        log.add(Sample([], said[row], input=inputs[row]) for row in rows)
        decided = learner.round("new samples", True, None, lambda: False)
        assert decided["tested"], decided["why_not"]
        taken.append(psutil.Process().memory_info().rss)
    of_one = 2 * int(np.prod(shape)) * (decided["window_samples"] + decided["reservoir_samples"])
    assert taken[-1] - taken[0] < of_one


def test_caches_that_remember_streams_are_retrained_and_remember(tmp_path):
    store, base = built_on_scenes(tmp_path), load("tests.tiny:tiniest")
    plan = store.current().plan
    log = TrafficLog(
        tmp_path / "traffic.sqlite",
        [cache.feature_shape for cache in plan.caches],
        len(plan.description.classes),
        window=9_000,
        seed=0,
        description=plan.description,
        past=True,
    )
    learner = Learner(plan, str(store.folder), log, lambda: None)
    pictures, streams = scenes(9_000, seed=11)
    probabilities = np.eye(len(plan.description.classes))[base_answers(base, pictures)]
    log.add(
        Sample([], said, weight=1.0, stream=f"camera-{key}", at=at, input=picture)
        for said, key, at, picture in zip(
            probabilities, streams.keys, 1e9 + 10 * streams.at, pictures, strict=True
        )
    )
    record = learner.round("new samples", False, None, lambda: False)  # caches were off
    assert record["published"], record["why_not"]
    assert learner.version.plan.remembers
    pictures, streams = scenes(1_200, seed=12)
    with_keys = evaluate(base, learner.version, pictures, base_every=10_000, streams=streams)
    without = evaluate(base, learner.version, pictures, base_every=10_000)
    assert with_keys.exits["input"] > without.exits["input"]
    assert with_keys.disagreements / with_keys.samples < 2 * LIMITS.max_disagreement
