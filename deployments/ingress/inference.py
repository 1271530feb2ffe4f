"""The endpoint that classifies one picture, sound or text, `/predict`."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field

from cache_models.network.stages import BASE
from deployments.graph.timeline import Timeline
from deployments.ingress import streams
from deployments.ingress.caller import HEADERS, caller
from deployments.ingress.decoding import read_body
from deployments.ingress.direct import make_direct
from deployments.ingress.documents import INFERENCE, parameter, problems, takes_content
from deployments.ingress.errors import InvalidInput
from deployments.ingress.failures import REFUSALS, named_failures
from deployments.ingress.open_inference.messages import parse_cache
from deployments.ingress.reading import takes
from deployments.ingress.service import Service


class Step(BaseModel):
    """Of a request's way; times of a hop are those in the replica, `hop_ms` the rest.

    Attributes:
        at_ms: its begin, since the request's.
        traceparent: the header, at the first step if it was sent: the request itself.
    """

    step: str
    at_ms: float
    ms: float
    traceparent: str | None = None
    rows: int | None = None
    queued_ms: float | None = None
    compute_ms: float | None = None
    hop_ms: float | None = None


class Prediction(BaseModel):
    """The answer to one picture, sound or text.

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


BINARY = {"schema": {"type": "string", "format": "binary"}}
PICTURES: dict[str, Any] = {
    **{f"image/{kind}": BINARY for kind in ("png", "jpeg", "webp", "gif", "bmp", "tiff")},
    "image/x-portable-anymap": BINARY,
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {"image": {"type": "string", "format": "binary"}},
        }
    },
}
CACHE = parameter("query", "cache", "off asks the base DNN", "on", "off")


def add(app: FastAPI, service: Service) -> None:
    """Add their paths; to the application itself, since one of a router's takes 60 us longer."""
    description, limits = service.description, service.limits
    kinds = PICTURES if description.reader is None else takes(description.reader)

    @app.post(
        "/predict",
        tags=INFERENCE,
        summary="Classify one file",
        responses={200: {"model": Prediction}, **problems(*REFUSALS)},
        openapi_extra=takes_content(kinds) | {"parameters": [CACHE, *HEADERS]},
    )
    async def predict(request: Request) -> Response:
        """A picture, a sound or a text, as the model takes: raw or as a multipart field.

        The body may come compressed, as `Content-Encoding` says: `gzip` or `deflate`.
        """
        timeline = Timeline(time.perf_counter())
        asker = caller(request.headers)
        async with named_failures(service, timeline, asker) as timeout_s:
            use_caches = parse_cache(
                request.query_params.get("cache", "on"), "the query parameter 'cache'"
            )
            stream = streams.named_by(asker.stream)
            if description.preprocessing is None and description.reader is None:
                raise InvalidInput(
                    f"the model takes tensors, not files; use /v2/models/{service.name}/infer"
                )
            with timeline.step("read"):
                body = await read_body(request, limits.max_body_bytes)
            with timeline.step("decode"):
                given = await service.inputs.file(request.headers, body)
            answers = await service.answer(given, use_caches, timeline, stream, timeout_s)
        class_id, exit = int(answers.class_ids[0]), answers.exits[0]
        prediction = Prediction(
            label=description.classes[class_id],
            class_id=class_id,
            probability=float(answers.probabilities[0, class_id]),
            exit=exit,
            cache_version=None if exit == BASE else answers.cache_version,
            latency_ms=round(timeline.ms, 3),
            request_id=asker.request_id,
            **({"trace": asker.trace(timeline)} if asker.wants_trace else {}),
        )
        content = prediction.model_dump_json(exclude_unset=True)
        return Response(content, media_type="application/json")

    make_direct(app, predict)
