"""Operators need the token; what they ask for wrongly is named."""

import asyncio
from collections import Counter

import pytest

from deployments.ingress import admin
from deployments.ingress.errors import InvalidInput, NotFound
from tests.deployments.ingress.test_endpoints import Client, FakeService


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


def test_guessing_is_slow_and_does_not_lock_out_for_long(monkeypatch):
    monkeypatch.setenv(admin.TOKEN, "secret")
    monkeypatch.setattr(admin, "WRONG_S", 0.2)
    client = Client(FakeService())

    async def ask(token):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return (await client.ask("GET", "/admin/rounds", headers=headers)).status_code

    async def guess():
        guesses = await asyncio.gather(*(ask(f"secre{i}") for i in range(50)), ask(None))
        return Counter(guesses), await ask("secret")

    guesses, then = asyncio.run(guess())
    assert guesses[401] <= admin.MOST_WRONG + 1 and guesses[429] >= 50 - admin.MOST_WRONG
    assert then == 200


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
