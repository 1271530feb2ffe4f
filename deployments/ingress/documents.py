"""What `/docs` says of bodies that FastAPI does not read itself, and of errors.

Bodies are read by the endpoints, which limit their size, ask operators for their token first, and
name what is wrong in the one shape that all errors have.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from deployments.ingress.errors import RequestError

INFERENCE: list[str | Enum] = ["inference"]
"""The tag of endpoints that give answers of the model."""
REFERENCE = "#/components/schemas/{model}"


class Problem(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="what was wrong, what it got, and what it may be")


ANY_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {"model": Problem, "description": "Any other error."}
}


def problems(*kinds: type[RequestError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint that raises these."""
    return {kind.status: {"model": Problem, "description": kind.__doc__} for kind in kinds}


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of an endpoint that reads such JSON."""
    schema = {"$ref": REFERENCE.format(model=model.__name__)}
    return takes_content({"application/json": {"schema": schema}})


def takes_content(content: dict[str, Any]) -> dict[str, Any]:
    """The same, by media type."""
    return {"requestBody": {"required": True, "content": content}}


def parameter(
    place: str, name: str, description: str, *values: str, pattern: str = ""
) -> dict[str, Any]:
    """One in the query or the header.

    Args:
        values: that it may have; by default any.
        pattern: a regular expression of them.
    """
    schema: dict[str, Any] = {"type": "string"}
    if values:
        schema["enum"] = list(values)
    if pattern:
        schema["pattern"] = pattern
    return {"in": place, "name": name, "description": description, "schema": schema}


def document(app: FastAPI, *bodies: type[BaseModel]) -> None:
    """Let the application's schema define the models that `takes` refers to."""
    _, definitions = models_json_schema(
        [(body, "validation") for body in bodies], ref_template=REFERENCE
    )

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(
                definitions["$defs"]
            )
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
