"""What tests of several parts serve."""

import shutil

import pytest

from cache_models.build.cold_start import cold_start
from cache_models.network.base_dnn import load
from cache_models.network.stages import INPUT
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from tests.traces import finished  # noqa: F401


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Store:
    """Untrained caches at the input and behind it, and graphs; nobody writes to it."""
    store = Store(tmp_path_factory.mktemp("made") / "store")
    cold_start(load("tests.tiny:tiny"), store, Limits(), HopCost(), [INPUT, "stem"])
    return store


@pytest.fixture
def store(made, tmp_path) -> Store:
    """A copy of it."""
    return Store(shutil.copytree(made.folder, tmp_path / "made"))
