"""Engine, threads and batch caps are chosen from what was measured."""

import pytest
import yaml

from cache_models.bench import tuning
from cache_models.bench.tuning import BATCHES, ENGINES, Setting, Tuned, choose, describe, tune
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.features import feature_shape
from cache_models.store.versions import Store
from tests.plans import plan_for

TINY = "tests.tiny:tiniest"
ONNX, TORCH, COMPILE = range(3)


def at_batch_1(ms: dict[Setting, float]) -> Setting:
    return choose("Partition0", {setting: {1: spent} for setting, spent in ms.items()}).chosen


def test_more_threads_are_chosen_only_where_they_are_quicker():
    one, two, four = (Setting(threads, ONNX) for threads in (1, 2, 4))
    assert at_batch_1({one: 10.0, two: 9.6, four: 9.7}) == one
    assert at_batch_1({one: 10.0, two: 6.0, four: 5.9}) == two


def test_another_engine_is_chosen_only_where_it_is_quicker():
    onnx, torch, compiled = (Setting(2, rank) for rank in (ONNX, TORCH, COMPILE))
    assert at_batch_1({torch: 9.7, onnx: 10.0, compiled: 9.6}) == onnx
    assert at_batch_1({onnx: 10.0, torch: 8.0, compiled: 7.9}) == torch
    assert at_batch_1({onnx: 10.0, torch: 8.0, compiled: 5.0}).engine == "compile"


def test_the_batch_cap_is_the_smallest_with_nearly_the_least_time_a_row():
    def cap(ms: dict[int, float]) -> int:
        return choose("Lookup0", {Setting(1, ONNX): ms}).batch_cap

    assert cap({1: 1.0, 2: 1.2, 4: 2.0, 8: 3.95}) == 4
    assert cap({1: 10.0, 2: 19.8, 4: 39.5}) == 1


def test_what_is_to_be_written_is_what_was_chosen():
    ms = dict.fromkeys(BATCHES, 1.0)
    two, one = Setting(2, TORCH), Setting(1, ONNX)
    text = describe(
        [Tuned("Partition0", two, 4, {one: ms, two: ms}), Tuned("Lookup0", one, 8, {one: ms})]
    )
    overrides = yaml.safe_load(text[text.index("args:") :])["args"]["overrides"]
    assert overrides == {
        "Partition0": {"device": "auto", "threads": 2, "max_batch_rows": 4, "engine": "torch"},
        "Lookup0": {"device": "cpu", "threads": 1, "max_batch_rows": 8, "engine": "onnxruntime"},
    }
    assert len([line for line in text.splitlines() if line.startswith("Partition0")]) == 2


@pytest.fixture
def store(tmp_path) -> Store:
    base = load(TINY)
    plan = plan_for(["stem"], base.description.classes)
    plan.model, plan.fingerprint, plan.description = TINY, base.fingerprint(), base.description
    [cache], [point] = plan.caches, plan.candidates
    point.activation_shape = cut(base)["stem"].shape
    cache.feature_shape = feature_shape(point.activation_shape)
    cache.variant = Variant(family="pool", size=1)
    learned = LearnedCache(cache.variant, cache.feature_shape, 4).eval()
    Store(tmp_path).publish(plan, {cache.file: learned})
    return Store(tmp_path)


def test_every_stage_is_measured_in_every_engine(store, monkeypatch):
    monkeypatch.setattr(tuning, "PAUSE_S", 0.0)
    monkeypatch.setattr(tuning, "cores", lambda: 2)
    tuned = {one.deployment: one for one in tune(store.folder, store.current())}
    assert set(tuned) == {"Partition0", "Lookup0", "Partition1"}
    for one in tuned.values():
        assert set(one.measured) == {Setting(n, rank) for n in (1, 2) for rank in (ONNX, TORCH)}
        assert all(set(ms) == set(BATCHES) for ms in one.measured.values())
        assert one.chosen in one.measured and one.batch_cap in BATCHES
    assert ENGINES[COMPILE] == "compile"
    assert "Partition1" in describe(list(tuned.values()))
