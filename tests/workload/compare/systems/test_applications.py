"""What each Ray system is told: stores of their own, with the graphs that they run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache_models.errors import DataError
from cache_models.network.base_dnn import load
from cache_models.store import exporting
from cache_models.store.graphs import sound
from cache_models.store.versions import Store
from deployments.config import AppArgs
from tests.plans import plan_for
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.systems import graphs, stores
from workload.compare.systems.applications import Settings, application
from workload.compare.systems.int8 import Int8
from workload.compare.systems.one_deployment import Args
from workload.compare.systems.reuse import Reuse

TINY = "tests.tiny:tiny"


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("compare")
    base = load(TINY)
    plan = plan_for([], base.description.classes)
    plan.model, plan.fingerprint, plan.description = TINY, base.fingerprint(), base.description
    store = Store(folder / "store")
    version, whole = store.publish(plan, {}), folder / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATI_HOME", str(folder / "home"))
        graphs.give(stores.without_caches(version, whole), whole)
        yield Settings(base, store, version, whole, "cpu", 1, folder)


def test_every_system_gets_the_graphs_that_it_runs(settings, monkeypatch):
    monkeypatch.setattr(exporting, "make", None)  # they are there
    for name in ("gati", "gati-retraining", "gati-unbatched"):
        made = application(name, settings)
        args = AppArgs.model_validate(made["args"])
        assert sound(Path(args.store), settings.version.plan).partitions
        assert Path(args.store) != settings.store.folder
        assert args.partition.threads == settings.threads
        assert [one["name"] for one in made["deployments"]] == ["Partition0"]


def test_all_others_are_told_of_the_base_dnn_without_caches(settings):
    plain, eager = (Args(**application(name, settings)["args"]) for name in ("plain", "eager"))
    assert plain.store == eager.store == settings.whole
    assert not plain.eager and eager.eager
    assert plain.threads == eager.threads == settings.threads


def test_reuse_and_integers_are_fitted_to_the_plans_own_samples(settings, tmp_path):
    np.save(tmp_path / "data.npy", np.concatenate([images(60), images(60)]))
    plan = settings.version.plan.model_copy(update={"data": str(tmp_path / "data.npy")})
    mine = replace(
        settings, version=replace(settings.version, plan=plan), folder=tmp_path / "folder"
    )
    small = Args(**application("int8", mine)["args"])
    assert small.int8 is not None and small.int8.exists()
    body = png(images(1)[0])
    answer = Int8(small.store, "cpu", 1, small.int8).answer(body)
    assert answer["exit"] == "base" and 0 < answer["probability"] <= 1
    args = Args(**application("exact", mine)["args"])
    reuse = Reuse(args.store, "cpu", 1, args.reuse, args.limit)
    first, again = reuse.answer(body), reuse.answer(body)
    assert (first["exit"], again["exit"]) == ("base", "exact")
    assert first["class_id"] == again["class_id"]


def test_a_plan_without_caches_has_no_exits(settings):
    with pytest.raises(DataError, match="nowhere to exit"):
        application("apparate", settings)
