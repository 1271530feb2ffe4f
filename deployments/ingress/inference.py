"""Endpoints that ask the cascade: `/predict` and the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from cache_models.network.stages import BASE
from deployments.graph.timeline import Timeline
from deployments.ingress import open_inference as protocol
from deployments.ingress import streams
from deployments.ingress.decoding import read_body
from deployments.ingress.documents import parameter, problems, takes, takes_content
from deployments.ingress.errors import (
    BaseFailed,
    BodyTooLarge,
    InvalidInput,
    NotFound,
    RequestError,
    TooLate,
    Unavailable,
    UnsupportedMedia,
)
from deployments.ingress.metadata import MODEL_VERSION, check_model
from deployments.ingress.service import Service
from deployments.transport.errors import Failed, Lost, PlaceError, Refused

INLINE_VALUES = 8 * 1024
"""Probabilities in a response that is written at once; a larger one is written in a worker."""


class Step(BaseModel):
    """Of a request's way; times of a hop are those in the replica, `hop_ms` the rest.

    Attributes:
        at_ms: its begin, since the request's.
    """

    step: str
    at_ms: float
    ms: float
    rows: int | None = None
    queued_ms: float | None = None
    compute_ms: float | None = None
    hop_ms: float | None = None


class Prediction(BaseModel):
    """The answer to one picture.

    Attributes:
        exit: the cut point whose cache answered, or `base`.
        cache_version: of the cache that answered; null if none did.
        latency_ms: from the request's arrival to here.
        request_id: the header `X-Request-ID`, or one that was made up.
        trace: only if the header `X-Trace: 1` asks for it.
    """

    label: str = Field(examples=["ankle boot"])
    class_id: int = Field(examples=[9])
    probability: float = Field(examples=[0.988])
    exit: str = Field(examples=["input"])
    cache_version: int | None = Field(examples=[1])
    latency_ms: float = Field(examples=[4.2])
    request_id: str
    trace: list[Step] | None = None


PICTURES = {
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {"image": {"type": "string", "format": "binary"}},
        }
    },
}
STREAM = parameter(
    "header",
    streams.HEADER,
    "the camera, user or device that the request comes from: any text of at most "
    f"{streams.MOST_CHARACTERS} characters, of which a keyed hash is kept",
)
PARAMETERS = [
    parameter("query", "cache", "off asks the base DNN", "on", "off"),
    parameter("header", "X-Trace", "1 asks where the time went", "1"),
    parameter("header", "X-Request-ID", "comes back in the answer"),
    STREAM,
]
REFUSALS = (RequestError, BodyTooLarge, InvalidInput, BaseFailed, Unavailable, TooLate)
TAGS: list[str | Enum] = ["inference"]
INFER: dict[str, Any] = {
    "tags": TAGS,
    "summary": "Classify a batch",
    "responses": {200: {"model": protocol.InferResponse}, **problems(*REFUSALS, NotFound)},
    "openapi_extra": takes(protocol.InferRequest) | {"parameters": [STREAM]},
}


def add(app: FastAPI, service: Service) -> None:
    """Add their paths; to the application itself, since one of a router's takes 60 us longer."""
    description, limits = service.description, service.limits

    @app.post(
        "/predict",
        tags=TAGS,
        summary="Classify one picture",
        responses={200: {"model": Prediction}, **problems(*REFUSALS, UnsupportedMedia)},
        openapi_extra=takes_content(PICTURES) | {"parameters": PARAMETERS},
    )
    async def predict(request: Request) -> Response:
        """A PNG or JPEG, raw or as the multipart field `image`."""
        timeline = Timeline(time.perf_counter())
        async with _answering(service, timeline):
            use_caches = protocol.parse_cache(
                request.query_params.get("cache", "on"), "the query parameter 'cache'"
            )
            stream = streams.named_by(request.headers)
            if description.preprocessing is None:
                raise InvalidInput(
                    f"the model takes tensors, not images; use /v2/models/{service.name}/infer"
                )
            with timeline.step("read"):
                body = await read_body(request, limits.max_body_bytes)
            with timeline.step("decode"):
                given = await service.inputs.picture(request.headers, body)
            answers = await service.answer(given, use_caches, timeline, stream)
        class_id, exit = int(answers.class_ids[0]), answers.exits[0]
        prediction = Prediction(
            label=description.classes[class_id],
            class_id=class_id,
            probability=float(answers.probabilities[0, class_id]),
            exit=exit,
            cache_version=None if exit == BASE else answers.cache_version,
            latency_ms=round(timeline.ms, 3),
            request_id=_request_id(request),
            **_trace(request, timeline),
        )
        return _json(prediction.model_dump_json(exclude_unset=True))

    @app.post("/v2/models/{name}/infer", **INFER)
    @app.post("/v2/models/{name}/versions/{version}/infer", **INFER)
    async def infer(request: Request, name: str, version: str = MODEL_VERSION) -> Response:
        """Open Inference Protocol with JSON tensors; each row of a batch exits where it may."""
        timeline = Timeline(time.perf_counter())
        async with _answering(service, timeline):
            check_model(service, name, version)
            with timeline.step("read"):
                body = await read_body(request, limits.max_body_bytes)
            with timeline.step("decode"):
                parsed, given = await service.inputs.tensor(body)
            use_caches = protocol.use_caches(parsed)
            stream = streams.named_by(request.headers, parsed.parameters)
            answers = await service.answer(given, use_caches, timeline, stream)
            write = partial(
                protocol.response,
                parsed,
                _request_id(request),
                answers,
                description.classes,
                name,
                version,
                _trace(request, timeline),
            )
            if answers.probabilities.size <= INLINE_VALUES:
                return _json(write())
            return _json(await service.workers.run(write))


@asynccontextmanager
async def _answering(service: Service, timeline: Timeline) -> AsyncIterator[None]:
    """Until the deadline; gives whatever keeps an answer from coming a status, and counts it."""
    timeout_s = service.limits.timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except Exception as error:
        late = timeline.ms >= 0.999 * 1e3 * timeout_s
        named = _named(TimeoutError() if late and isinstance(error, Lost) else error, timeout_s)
        if named is None:
            raise
        service.count_error(named.status)
        raise named from error


def _named(error: Exception, timeout_s: float) -> RequestError | None:
    """What the client is told; None is a mistake of ours."""
    match error:
        case RequestError():
            return error
        case TimeoutError():
            return TooLate(
                f"no answer within {timeout_s:g} s; try again later, or raise http.timeout_s in "
                f"serve_config.yaml"
            )
        case Failed():
            return BaseFailed(
                f"the base DNN failed on this request: {error}; the traceback is in the log of the "
                f"replica that raised, in /tmp/ray/session_latest/logs/serve"
            )
        case Refused():
            return Unavailable(f"the server is at its limit, try again later: {error}")
        case PlaceError() | RayError() | RayServeException():
            return Unavailable(f"the base DNN cannot answer now: {error}")
    return None


def _request_id(request: Request) -> str:
    return request.headers.get("x-request-id") or uuid.uuid4().hex


def _trace(request: Request, timeline: Timeline) -> dict[str, Any]:
    return {"trace": timeline.told()} if request.headers.get("x-trace") == "1" else {}


def _json(content: str | bytes) -> Response:
    return Response(content, media_type="application/json")
