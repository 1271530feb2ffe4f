"""The key is made once, and for its owner alone."""

import stat

import pytest

from deployments.transport.zmq.key import FILE, Key, KeyFileError, load_key, make_key


def test_the_key_is_made_once_for_the_owner_alone_and_a_damaged_one_is_named(tmp_path):
    make_key(tmp_path)
    first = load_key(tmp_path)
    make_key(tmp_path)
    assert load_key(tmp_path) == first and isinstance(first, Key)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(KeyFileError, match="delete it"):
        load_key(tmp_path)
