import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """Caches this small are learned faster by one thread than by two that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
