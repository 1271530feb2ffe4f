"""For all tests, run one after another or by several processes (`pytest -n 2 --dist loadgroup`)."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
"""Models this small are learned faster by one thread than by two that wait for each other."""

END_TO_END = Path(__file__).parent / "e2e"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs all tests of a file, which share what takes long to make. End-to-end tests
    come last and in one process, since their server wants the machine for itself."""
    items.sort(key=lambda item: END_TO_END in item.path.parents)
    for item in items:
        end_to_end = END_TO_END in item.path.parents
        item.add_marker(pytest.mark.xdist_group("e2e" if end_to_end else str(item.path)))
