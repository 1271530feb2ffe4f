"""The Open Inference Protocol over HTTP: the endpoint that answers batches of tensors."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response

from deployments.graph.timeline import Timeline
from deployments.ingress.caller import HEADERS, caller
from deployments.ingress.decoding import read_body
from deployments.ingress.direct import make_direct
from deployments.ingress.documents import INFERENCE, REFERENCE, parameter, problems, takes_content
from deployments.ingress.errors import NotFound, UnsupportedMedia
from deployments.ingress.failures import REFUSALS, named_failures
from deployments.ingress.open_inference import rest, schema
from deployments.ingress.open_inference.metadata import MODEL_VERSION, check_model
from deployments.ingress.responding import respond, written
from deployments.ingress.service import Service

BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
LENGTH = parameter(
    "header", rest.LENGTH, "length of the JSON, where tensors follow it as bytes", pattern=r"^\d+$"
)
ANSWER: dict[str, Any] = {
    "model": schema.InferResponse,
    "description": "Tensors in JSON; or after it, as octet-stream, as was asked for.",
    "content": BINARY,
    "headers": {
        rest.LENGTH: {
            "description": "length of the JSON, where tensors follow it as bytes",
            "schema": {"type": "integer"},
        }
    },
}
INFER: dict[str, Any] = {
    "tags": INFERENCE,
    "summary": "Classify a batch",
    "responses": {200: ANSWER, **problems(*REFUSALS, NotFound, UnsupportedMedia)},
    "openapi_extra": takes_content(
        {
            "application/json": {
                "schema": {"$ref": REFERENCE.format(model=schema.InferRequest.__name__)}
            },
            **BINARY,
        }
    )
    | {"parameters": [LENGTH, *HEADERS]},
}


def add(app: FastAPI, service: Service) -> None:
    """Add its paths."""

    @app.post("/v2/models/{name}/infer", **INFER)
    @app.post("/v2/models/{name}/versions/{version}/infer", **INFER)
    async def infer(request: Request, name: str, version: str = MODEL_VERSION) -> Response:
        """Tensors as JSON or, after it, as bytes; each row of a batch exits where it may."""
        timeline = Timeline(time.perf_counter())
        asker = caller(request.headers)
        async with named_failures(service, timeline, asker) as timeout_s:
            check_model(service.name, name, version)
            with timeline.step("read"):
                body = await read_body(request, service.limits.max_json_bytes)
            json, binary = rest.split(body, request.headers.get(rest.LENGTH))
            with timeline.step("decode"):
                read = partial(rest.parse, json, binary)
                asked, given = await service.inputs.tensor(read, len(json), len(binary))
            response = await respond(service, asked, given, asker, timeline, timeout_s)
            told = await written(service, rest.write, response)
        return Response(told.body, headers=rest.headers(told))

    make_direct(app, infer)
