"""A stream's name is checked at the door, and known by its keyed hash alone."""

import stat

import pytest

from deployments.ingress.errors import RequestError
from deployments.ingress.streams import FILE, MOST_CHARACTERS, Streams, make_key, named_by


def test_a_name_becomes_the_same_digits_wherever_the_key_is_known_and_others_elsewhere(tmp_path):
    for store in ("one", "two"):
        make_key(tmp_path / store)
    first = Streams(tmp_path / "one").hashed("camera 7")
    make_key(tmp_path / "one")  # as at the next start
    assert Streams(tmp_path / "one").hashed("camera 7") == first
    assert len(first) == 16 and int(first, 16)
    assert first != Streams(tmp_path / "two").hashed("camera 7")
    assert first != Streams(tmp_path / "one").hashed("camera 8")
    assert Streams(tmp_path / "one").hashed("") == ""
    assert stat.S_IMODE((tmp_path / "one" / FILE).stat().st_mode) == 0o600


def test_a_key_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=FILE):
        Streams(tmp_path)
    (tmp_path / FILE).write_text("nothing")
    with pytest.raises(RuntimeError, match="delete it and restart"):
        Streams(tmp_path)


@pytest.mark.parametrize(
    ("headers", "parameters", "name"),
    [
        ({}, {}, ""),
        ({"X-Stream": "a"}, None, "a"),
        ({"X-Stream": "a"}, {"sequence_id": "b"}, "b"),
        ({}, {"sequence_id": 42}, "42"),
        ({"X-Stream": "a"}, {"sequence_id": 0}, "a"),
        ({"X-Stream": "x" * MOST_CHARACTERS}, {}, "x" * MOST_CHARACTERS),
    ],
)
def test_it_is_a_header_or_the_protocols_parameter(headers, parameters, name):
    assert named_by(headers.get("X-Stream", ""), parameters) == name


@pytest.mark.parametrize(
    ("headers", "parameters", "message"),
    [
        ({"X-Stream": "x" * 257}, {}, "header 'X-Stream' has 257 characters; .* at most 256"),
        ({}, {"sequence_id": "x" * 300}, "parameters.sequence_id has 300 characters"),
        ({}, {"sequence_id": 1.5}, "parameters.sequence_id is 1.5; it may be an integer, or a te"),
        ({}, {"sequence_id": True}, "parameters.sequence_id is True"),
        ({}, {"sequence_id": ["a"] * 100}, "parameters.sequence_id is"),
    ],
)
def test_what_it_may_not_be_is_named(headers, parameters, message):
    with pytest.raises(RequestError, match=message) as refused:
        named_by(headers.get("X-Stream", ""), parameters)
    assert refused.value.status == 400 and len(str(refused.value)) < 250
