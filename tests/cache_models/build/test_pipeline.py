"""Build, publish, open: from images to a plan that keeps its promise on new images."""

import csv
import json
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from cache_models.__main__ import cli
from cache_models.bench.evaluation import evaluate
from cache_models.build.composition import Composition
from cache_models.build.evidence import pick
from cache_models.build.pipeline import build
from cache_models.build.split import prepare
from cache_models.cache.asking import ask
from cache_models.cache.learned_cache import load_cache
from cache_models.data.augmentation import Augmented
from cache_models.data.recording import record
from cache_models.data.samples import Samples
from cache_models.data.streams import Streams
from cache_models.errors import ArtifactError, DataError
from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.recording import ENOUGH, record_missing
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.pooling import extract
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT
from cache_models.promise.promise import Limits, cascade
from cache_models.store.copies import working_copy
from cache_models.store.files import EXPLORATION, SAMPLES
from cache_models.store.plan import HopCost
from cache_models.store.strata import TEST, WANTED
from cache_models.store.versions import Store
from tests.tiny import images

FREE = HopCost(fixed_ms=0, per_mb_ms=0)

LIMITS = Limits(max_disagreement=0.05, max_class_disagreement=0.3)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    base = load("tests.tiny:tiny")
    # a lookup costs more than this base DNN; the composition is told that a slice costs 100 ms
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "cache_models.build.survey.slice_costs",
            lambda engines, input_shape: [dict.fromkeys((1, 8), 100.0) for _ in engines],
        )
        folder = tmp_path_factory.mktemp("work")
        build(base, Samples(images(1600)), "tiny", store, LIMITS, FREE, folder)
    return store


def test_the_plan_keeps_its_promise_on_images_that_tuned_nothing(built):
    version = built.current()
    plan = version.plan
    assert plan.caches
    assert plan.expected.latency_ms < plan.expected.base_latency_ms
    base = load(plan.model)
    assert plan.fingerprint == base.fingerprint()
    fresh = base.inputs(images(2000, seed=1))
    with torch.inference_mode():
        answers = base.module(fresh).argmax(1)
        given = torch.full_like(answers, -1)
        activation = fresh
        for i, module in enumerate(cut(base).slices(plan.cut_points)[:-1]):
            activation = module(activation.clone())
            probabilities, confidence = version.load(i)(extract(activation))
            hit = (confidence >= plan.promise.threshold) & (given < 0)
            given[hit] = probabilities.argmax(1)[hit]
    hit_rate = float((given >= 0).float().mean())
    assert abs(hit_rate - plan.expected.hit_rate) < 0.05
    assert hit_rate > 0.3
    wrong = int(((given >= 0) & (given != answers)).sum())
    assert wrong <= 2000 * LIMITS.max_disagreement


def test_the_cascade_in_one_process_keeps_the_promise_and_says_where_requests_exit(built):
    version = built.current()
    result = evaluate(load("tests.tiny:tiny"), version, images(1000, seed=2))
    assert result.disagreements <= 1000 * LIMITS.max_disagreement
    assert list(result.exits) == [*version.plan.cut_points, "base"]
    assert sum(result.exits.values()) == pytest.approx(1)
    expected = version.plan.expected
    assert result.exits["base"] == pytest.approx(expected.exits["base"], abs=0.06)
    # the plan was told that a slice costs 100 ms: its figures, for these exits
    assert result.expected_ms == pytest.approx(expected.compute_ms, rel=0.1)


def test_too_little_data_says_how_much_is_needed(tmp_path):
    with pytest.raises(DataError, match="needs 299 for calibration alone, 998 in all"):
        samples = Samples(images(500))
        build(load("tests.tiny:tiny"), samples, "tiny", Store(tmp_path), Limits(), FREE, tmp_path)


def test_copies_of_what_trains_are_for_predictors_and_leave_all_else_as_it_was(tmp_path):
    base, samples = load("tests.tiny:tiny"), Samples(images(1000))
    plain = prepare(base, samples, LIMITS, tmp_path / "plain")
    data = prepare(base, samples, LIMITS, tmp_path / "copies", copies=2)
    assert data.copies.tolist() == list(range(1000, 1000 + 2 * len(data.train)))
    for part in ("train", "select", "calibrate"):
        assert np.array_equal(getattr(data, part), getattr(plain, part))
    made = Augmented(samples.images, data.train, copies=2)[1000:1050]
    with torch.inference_mode():
        answers = base.module(base.inputs(made)).argmax(1)
    assert np.array_equal(data.recording.answers[1000:1050], answers)
    assert np.array_equal(data.recording.probabilities[:1000], plain.recording.probabilities)


@pytest.fixture
def store(built, tmp_path):
    """A store with two versions, alike but for their number."""
    store = Store(tmp_path)
    first = built.current()
    caches = {record.file: first.load(i) for i, record in enumerate(first.plan.caches)}
    store.publish(first.plan, caches)
    store.publish(first.plan, caches)
    return store


def test_the_last_published_version_is_current_and_equal_to_what_was_written(store, built):
    version = store.current()
    assert version.number == 2
    assert version.plan == built.current().plan
    weights = version.load(0).state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in built.current().load(0).state_dict().items())


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing", "manifest"])
def test_a_damaged_version_is_refused_and_the_last_good_one_used(store, damage):
    folder = store.folder / "versions" / "2"
    file = next(folder.glob("*.safetensors"))
    match damage:
        case "altered":
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        case "truncated":
            file.write_bytes(file.read_bytes()[:-100])
        case "missing":
            file.unlink()
        case "manifest":
            (folder / "manifest.json").write_text('{"plan.json": ')
    with pytest.raises(ArtifactError, match="cache version 2"):
        store.open(2)
    assert store.current().number == 1


def test_an_interrupted_publication_leaves_the_old_version_current(store, monkeypatch):
    plan = store.current().plan

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("cache_models.cache.learned_cache.save_cache", fail)
    with pytest.raises(ArtifactError, match="disk full"):
        store.publish(plan, {"x.safetensors": None})
    assert store.versions() == [1, 2]
    assert store.current().number == 2


def test_a_store_without_a_usable_version_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match="python -m cache_models build"):
        Store(tmp_path).current()
    (tmp_path / "current").write_text(json.dumps({"version": 1}))
    with pytest.raises(ArtifactError, match="python -m cache_models build"):
        Store(tmp_path).current()


def test_caches_that_would_not_pay_after_all_are_not_deployed(tmp_path, monkeypatch):
    """What was composed on some samples may promise less on those that calibrate."""
    base, samples = load("tests.tiny:tiniest"), Samples(images(600))
    monkeypatch.setattr(
        "cache_models.build.pipeline.compose",
        lambda outcomes, *_: Composition(outcomes[:1], 0.0),
    )
    costly = HopCost(fixed_ms=100, per_mb_ms=0)
    arguments = LIMITS, costly, tmp_path / "work"
    version = build(
        base,
        samples,
        "tiny",
        Store(tmp_path),
        *arguments,
        cut_points=["stem"],
        variants=["fc-32"],
    )
    plan = version.plan
    assert plan.promise.threshold is not None and not plan.caches
    assert plan.expected.latency_ms == plan.expected.base_latency_ms
    assert "none would pay: with caches that keep the promise a request would take" in plan.notes[0]


def test_no_cache_is_deployed_where_none_helps(tmp_path):
    """A lookup costs as much as this whole base DNN, and a hop far more."""
    base = load("tests.tiny:tiny")
    limits = Limits(max_disagreement=0.05)
    samples = Samples(images(400))
    version = build(base, samples, "tiny", Store(tmp_path), limits, HopCost(), tmp_path / "work")
    assert version.plan.caches == []
    assert version.plan.expected.hit_rate == 0
    assert np.isclose(version.plan.expected.latency_ms, version.plan.expected.base_latency_ms)


def test_an_interrupted_recording_goes_on_where_it_was(tmp_path, monkeypatch):
    base, data = load("tests.tiny:tiny"), images(100)
    model = cut(base)
    whole = record(base, model, ["stem", "blocks.1.1"], data, tmp_path / "whole", batch=20)

    calls = []

    def that_stop(*args, **more):
        first, *others = slice_engines(*args, **more)

        def stop_after_two_batches(activation):
            calls.append(len(activation))
            if sum(calls) == 2 * 20 + len(activation):
                raise KeyboardInterrupt
            return first(activation)

        return [stop_after_two_batches, *others]

    monkeypatch.setattr("cache_models.data.recording.slice_engines", that_stop)
    with pytest.raises(KeyboardInterrupt):
        record(base, model, ["stem", "blocks.1.1"], data, tmp_path / "part", batch=20)
    resumed = record(base, model, ["stem", "blocks.1.1"], data, tmp_path / "part", batch=20)
    assert sum(calls) == 2 * 20 + 8 + 60  # two batches were done, and part of a third
    assert np.array_equal(resumed.probabilities, whole.probabilities)
    for name in whole.features:
        assert np.array_equal(resumed.features[name], whole.features[name])

    other = record(base, model, ["stem", "blocks.1.1"], data[::-1], tmp_path / "part", batch=20)
    assert np.allclose(other.probabilities, whole.probabilities[::-1], atol=1e-5)


def test_any_loadable_model_and_a_folder_of_images_build_by_command(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for i in range(240):
        picture = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((10, 8, 1))).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "data" / f"{i}.png")
    command = (
        "build --model torchvision:mobilenet_v3_small?num_classes=3 --max-disagreement 0.05 "
        f"--max-class-disagreement 0.5 --data {tmp_path / 'data'} --out {tmp_path / 'store'}"
    )
    result = CliRunner().invoke(cli, command.split())
    assert result.exit_code == 0, result.output
    plan = Store(tmp_path / "store").current().plan
    assert plan.promise.samples == 72
    assert plan.candidates


def test_caches_are_tried_only_where_asked_for(tmp_path):
    base, samples, free = load("tests.tiny:tiny"), Samples(images(400)), (LIMITS, FREE, tmp_path)
    with pytest.raises(DataError, match="are no candidates; those are input"):
        build(base, samples, "tiny", Store(tmp_path), *free, cut_points=["nowhere"])
    with pytest.raises(DataError, match="conv-9 is no variant; those are pool-1, pool-2"):
        build(base, samples, "tiny", Store(tmp_path), *free, variants=["fc-32", "conv-9"])
    asked = {"cut_points": ["input", "stem"], "variants": ["pool-2", "fc-32"]}
    version = build(base, samples, "tiny", Store(tmp_path), *free, **asked)
    assert [point.name for point in version.plan.candidates] == ["input", "stem"]
    with open(version.folder / EXPLORATION) as stream:
        tried = [(row["cut_point"], row["variant"]) for row in csv.DictReader(stream)]
    assert tried == [(p, v) for p in ("input", "stem") for v in ("pool-2", "fc-32")]


def test_one_answer_to_everything_is_noted_and_leaves_the_base_dnn_alone(tmp_path):
    samples = Samples(np.repeat(images(1), 300, axis=0))
    folder = tmp_path / "work"
    store = Store(tmp_path / "store")
    version = build(load("tests.tiny:tiny"), samples, "same", store, LIMITS, FREE, folder)
    assert version.plan.caches == []
    one_answer, constant = version.plan.notes
    assert "to all 300 samples" in one_answer
    assert "features at input, stem" in constant and "are the samples all alike" in constant


def log_for(version, folder):
    return TrafficLog(folder / "log.sqlite", [c.feature_shape for c in version.plan.caches], 4)


def test_the_builds_samples_come_with_the_version_in_their_roles_as_they_were_recorded(
    built, tmp_path
):
    version, log = built.current(), log_for(built.current(), tmp_path)
    build = BuildSamples(version)
    log.join(build)
    kept = log.reservoir()
    assert log.count(build=True) == len(kept.roles) == len(build.roles)
    pairs = set(zip(kept.roles.tolist(), kept.answers.tolist(), strict=True))
    assert len(pairs) == 3 * 4  # every role of every class
    tests = np.flatnonzero(kept.roles == TEST)
    caches = [version.load(i) for i in range(len(version.plan.caches))]
    said = [ask(cache, at, tests) for cache, at in zip(caches, kept.features, strict=True)]
    labels = cascade([s[0] for s in said], [s[1] for s in said], version.plan.promise.threshold)[1]
    assert (labels >= 0).mean() > 0.2
    assert ((labels >= 0) & (labels != kept.answers[tests])).mean() <= LIMITS.max_disagreement

    inputs = np.concatenate(list(build.inputs(np.arange(len(build.roles)))))
    base, names = load("tests.tiny:tiny"), version.plan.cut_points
    recording = record(base, cut(base), names, inputs, tmp_path / "again")
    for name, at in zip(names, kept.features, strict=True):
        assert np.array_equal(at, recording.features[name])


@pytest.fixture
def older(built, tmp_path):
    """A version deployed behind the input, whose build has kept no features."""
    version = built.current()
    plan = version.plan.model_copy(update={"caches": version.plan.alternatives[-1:]})
    assert plan.cut_points != [INPUT]
    (cache,) = plan.caches
    weights = load_cache(version.folder / cache.file, cache.variant, cache.feature_shape, 4)
    samples = version.tensors(SAMPLES)
    samples = {name: samples[name] for name in ("inputs", "probabilities", "roles")}
    return Store(tmp_path / "older").publish(plan, {cache.file: weights}, None, {SAMPLES: samples})


def test_what_an_older_build_did_not_keep_is_recorded_in_parts_and_every_class_soon(
    older, tmp_path
):
    base, log, build = load("tests.tiny:tiny"), log_for(older, tmp_path), BuildSamples(older)
    engines = slice_engines(base, cut(base), older.plan.cut_points)[:-1]
    missing = partial(record_missing, build, base.description, engines)
    log.join(build)
    assert not build.complete and log.untestable(ENOUGH)
    assert not len(log.reservoir().roles)
    assert len(list(islice(missing(log), 2))) == 2
    assert len(log.reservoir().roles) == 8

    again = log_for(older, tmp_path)  # as after a crash
    again.join(build)
    told = list(missing(again))
    assert told[-1] and not told[0]
    kept = again.reservoir()
    assert len(kept.roles) == len(build.roles)
    inputs = np.concatenate(list(build.inputs(np.arange(len(build.roles)))))
    recording = record(base, cut(base), older.plan.cut_points, inputs, tmp_path / "again")
    (features,) = recording.features.values()
    assert np.allclose(kept.features[0], features, atol=1e-2)


def test_damaged_samples_are_refused_when_they_are_wanted_and_the_caches_serve_on(built, tmp_path):
    version = working_copy(built, tmp_path).current()
    file = version.folder / SAMPLES
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="differs from its checksum"):
        BuildSamples(version)
    assert Store(version.folder.parents[1]).current().number == version.number


def test_samples_are_kept_of_all_classes_evenly_within_a_number_of_bytes(tmp_path):
    base, samples = load("tests.tiny:tiny"), Samples(images(1600))
    data = prepare(base, samples, LIMITS, tmp_path, cut_points=["stem"])
    each = 64 + 2 * 4 + data.recording.features["stem"][0].nbytes
    kept = pick(data, samples.images, [INPUT, "stem"], most_bytes=300 * each + 1)
    assert sum(t.nbytes for t in kept.values()) == 300 * (each + 1)
    answers, roles = kept["probabilities"].argmax(1).numpy(), kept["roles"].numpy()
    by_stratum = np.zeros((3, 4), int)
    np.add.at(by_stratum, (roles, answers), 1)
    shares = by_stratum / np.array(list(WANTED.values()))[:, None]
    assert shares.max() - shares.min() <= 2 / min(WANTED.values())


def test_a_version_with_other_cut_points_is_not_served_where_it_does_not_fit(store, built):
    deployed = built.current().plan
    assert store.serving(deployed).number == store.current().number
    other = deployed.model_copy(update={"caches": []})
    store.publish(other, {})
    assert store.current().plan.caches == []
    assert store.serving(deployed).plan.cut_points == deployed.cut_points
    store.remove({1})
    with pytest.raises(ArtifactError, match="no version"):
        Store(store.folder).serving(deployed.model_copy(update={"fingerprint": "x"}))


def test_a_store_is_copied_once_to_be_written_to(built, tmp_path):
    copy = working_copy(built, tmp_path)
    plan = copy.current().plan
    copy.publish(plan, {cache.file: copy.current().load(i) for i, cache in enumerate(plan.caches)})
    assert working_copy(built, tmp_path).current().number == 2
    assert built.current().number == 1


@pytest.mark.parametrize(("stay", "deployed"), [(1, True), (12, False)])
def test_frames_that_stay_alike_count_as_one_and_too_few_deploy_nothing(
    tmp_path, monkeypatch, stay, deployed
):
    monkeypatch.setattr(
        "cache_models.build.survey.slice_costs",
        lambda engines, input_shape: [dict.fromkeys((1, 8), 100.0) for _ in engines],
    )
    frames = np.repeat(images(1800 // stay), stay, axis=0)
    wavering = np.random.default_rng(0).integers(0, 4, frames.shape)
    samples = Samples(
        (frames + wavering).clip(0, 255).astype(np.uint8), Streams.of_frames(len(frames), 1, 10.0)
    )
    base, store = load("tests.tiny:tiniest"), Store(tmp_path)
    arguments = base, samples, "clip.mp4", store, LIMITS, FREE, tmp_path / "work"
    plan = build(*arguments, cut_points=["stem"], variants=["fc-32"]).plan
    assert bool(plan.caches) == deployed
    (note,) = [note for note in plan.notes if "independent" in note]
    assert ("59 are needed, so no cache is deployed" in note) != deployed
    if deployed:
        assert plan.promise.samples > 500 and f"count as {plan.promise.samples} indep" in note


def test_a_program_reads_the_plan_and_what_was_tried(built):
    arguments = ["inspect", "--store", str(built.folder), "--json"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    told = json.loads(result.stdout)
    plan = built.current().plan
    assert [cache["cut_point"] for cache in told["plan"]["caches"]] == plan.cut_points
    assert {record["cut_point"] for record in told["exploration"]} >= set(plan.cut_points)


def test_a_store_is_looked_at_with_the_base_dnn_that_it_was_built_for(built):
    arguments = ["inspect", "--store", str(built.folder)]
    told = CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout
    assert "cache_models.zoo.fashion" not in told and "tests.tiny:tiny" in told
    other = CliRunner().invoke(cli, [*arguments, "--model", "tests.tiny:tiniest"])
    assert other.exit_code and "other weights" in other.output
