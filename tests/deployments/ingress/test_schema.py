"""What `/openapi.json` says is what the server does: requests made of it, right and wrong ones, get
answers as it says, and never a 5xx. `GATI_SCHEMA_EXAMPLES=500` asks more of each endpoint."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import positive_data_acceptance

from deployments.ingress import admin
from deployments.ingress.admin import TOKEN
from deployments.ingress.endpoints import build
from tests.deployments.ingress.test_endpoints import OPERATOR, FakeService


@schemathesis.serializer("image/bmp", "image/tiff", "image/x-portable-anymap")
def as_it_is(_: object, value: bytes) -> bytes:
    """Of these the library does not know that they are bytes."""
    return value


EXAMPLES = int(os.environ.get("GATI_SCHEMA_EXAMPLES", "5"))
schema = schemathesis.openapi.from_asgi("/openapi.json", build(FakeService()))


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_the_schema_says(case, operators):
    """Not that what the schema allows is taken: that numbers fit their shape, no schema can say."""
    case.call_and_validate(excluded_checks=[positive_data_acceptance], headers=OPERATOR)


@pytest.fixture
def operators(monkeypatch):
    monkeypatch.setenv(TOKEN, "secret")
    monkeypatch.setattr(admin, "WRONG_S", 0)  # a wrong one is tried often
