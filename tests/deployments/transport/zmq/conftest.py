import pytest

from deployments.transport.zmq.key import load_key, make_key


@pytest.fixture
def key(tmp_path):
    make_key(tmp_path)
    return load_key(tmp_path)
