"""For all tests, run one after another or by two processes: `pytest -n 2`."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
"""Models this small are learned faster by one thread than by two that wait for each other."""

END_TO_END = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end tests come last, since their server wants the machine for itself."""
    items.sort(key=lambda item: END_TO_END in item.path.parents)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """One process runs all tests of a file, which share what takes long to make, and one all that
    are end-to-end, which share a server."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "e2e" if file.startswith("tests/e2e/") else file

    config.option.loadscopereorder = False  # end-to-end tests stay last
    return ByFile(config, log)
