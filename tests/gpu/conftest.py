"""Tests on one GPU: `pytest tests/gpu`, in six minutes. Without one they are skipped."""

import pytest
import torch

from tests.e2e.conftest import asked, server  # noqa: F401  fixtures


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
