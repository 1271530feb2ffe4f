"""Operators need the token; what they ask for wrongly is named."""

import pytest

from deployments.ingress import admin
from deployments.ingress.errors import InvalidInput, NotFound


def test_without_a_token_there_is_nothing_here():
    for token in (None, ""):
        with pytest.raises(NotFound):
            admin.check_token("Bearer ", token)


@pytest.mark.parametrize("header", [None, "", "secret", "Bearer secre", "Bearer secrets"])
def test_another_token_is_refused(header):
    with pytest.raises(admin.Unauthorized):
        admin.check_token(header, "secret")


def test_the_token_opens():
    admin.check_token("Bearer secret", "secret")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"mode": "fast"}', "mode: Input should be 'serve', 'shadow' or 'off', not 'fast'"),
        (b"{}", 'a JSON object such as {"mode"'),
        (b"", 'a JSON object such as {"mode":"shadow"}'),
        (b"[1]", 'a JSON object such as {"mode"'),
        (b"mode", 'a JSON object such as {"mode"'),
    ],
)
def test_a_wrong_field_is_named(body, says):
    with pytest.raises(InvalidInput) as error:
        admin.parse(body, admin.Mode)
    assert says in str(error.value)


def test_fields_are_read():
    assert admin.parse(b'{"mode": "off"}', admin.Mode).mode == "off"
    assert admin.parse(b'{"pinned": true}', admin.Pin).pinned is True
    assert admin.parse(b'{"version": 3}', admin.Rollback).version == 3
