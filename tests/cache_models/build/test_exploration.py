"""An exploration measures every variant everywhere, and goes on where it was interrupted."""

import numpy as np
import pytest

from cache_models.build import exploration
from cache_models.build.exploration import explore
from cache_models.build.measurement import measure, read_table, table
from cache_models.build.survey import Survey
from cache_models.cache.asking import ask
from cache_models.data.recording import Recording
from cache_models.promise.promise import Limits
from cache_models.store.plan import CutPointRecord

TRAIN, SELECT = np.arange(300), np.arange(300, 600)


@pytest.fixture
def recorded():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    features = {
        name: (labels[:, None] + rng.normal(0, noise, (600, 5))).astype(np.float16)
        for name, noise in (("early", 1.0), ("late", 0.2))
    }
    points = [
        CutPointRecord(
            name=name,
            activation_shape=(5,),
            activation_bytes=10,
            slice_ms={1: 1.0},
            compute_share=share,
        )
        for name, share in (("early", 0.2), ("late", 0.8))
    ]
    recording = Recording(features, np.eye(2, dtype=np.float32)[labels], "digest")
    return recording, Survey(points, 1.0, {1: 0.0, 8: 0.0})


def test_every_variant_at_every_cut_point_is_measured_and_the_table_is_read_back(
    recorded, tmp_path
):
    recording, costs = recorded
    trained = explore(recording, TRAIN, SELECT, tmp_path)
    explored = measure(trained, recording, costs, SELECT, Limits(max_disagreement=0.05))
    records = [e.record for e in explored]
    assert [r.cut_point for r in records] == ["early"] * 3 + ["late"] * 3
    assert len({r.variant for r in records}) == 3
    assert min(r.agreement for r in records[3:]) > max(r.agreement for r in records[:3])
    assert min(r.hit_rate for r in records[3:]) > 0.9
    again = read_table(table(records))
    assert [r.variant for r in again] == [r.variant for r in records]
    assert np.allclose([r.hit_rate for r in again], [r.hit_rate for r in records], atol=1e-4)


def test_measured_caches_know_what_is_at_stake_and_are_weighed_by_it(recorded, tmp_path):
    recording, costs = recorded
    trained = explore(recording, TRAIN, SELECT, tmp_path)
    for e in measure(trained, recording, costs, SELECT, Limits(max_disagreement=0.05)):
        at = e.record.cut_point
        assert e.cache.selector.stake == pytest.approx({"early": 0.8, "late": 0.2}[at])
        _, confidences, _ = ask(e.cache, recording.features[at], SELECT)
        assert np.allclose(e.outcome.confidences, confidences, atol=1e-6)


def test_an_interrupted_exploration_trains_only_what_is_missing(recorded, tmp_path, monkeypatch):
    recording, _ = recorded
    train, trained = exploration.train_cache, []

    def stop_at_the_third(variant, *arguments):
        trained.append(variant)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(variant, *arguments)

    monkeypatch.setattr(exploration, "train_cache", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        explore(recording, TRAIN, SELECT, tmp_path)
    resumed = explore(recording, TRAIN, SELECT, tmp_path)
    assert len(trained) == 3 + 4
    fresh = explore(recording, TRAIN, SELECT, tmp_path / "fresh")
    for a, b in zip(resumed, fresh, strict=True):
        said = (ask(made.cache, recording.features[made.cut_point], SELECT) for made in (a, b))
        for ours, theirs in zip(*said, strict=True):
            assert np.array_equal(ours, theirs)
    explore(recording, TRAIN[:200], SELECT, tmp_path)
    assert len(trained) == 7 + 6 + 6
    explore(recording, TRAIN[:200], SELECT[:200], tmp_path)
    assert len(trained) == 7 + 6 + 6 + 6
