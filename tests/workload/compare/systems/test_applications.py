"""What each Ray system is told: stores of their own, with the graphs that they run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cache_models.network.base_dnn import load
from cache_models.store import exporting
from cache_models.store.graphs import sound
from cache_models.store.versions import Store
from deployments.config import AppArgs
from tests.plans import plan_for
from workload.compare.systems import graphs, stores
from workload.compare.systems.applications import Settings, application
from workload.compare.systems.one_deployment import Args

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
