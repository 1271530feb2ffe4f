"""The HTTP endpoints: they translate requests and answers, and call the service for all else."""

import asyncio
import time
import uuid
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from cache_models.cascade import Answers
from cache_models.network.description import ModelDescription
from cache_models.network.stages import BASE
from deployments.config import HttpLimits
from deployments.graph.timeline import Timeline
from deployments.ingress import admin
from deployments.ingress import open_inference as protocol
from deployments.ingress.decoding import decode_image, image_bytes, read_body
from deployments.ingress.errors import InvalidInput, NotFound, RequestError, Unavailable
from deployments.transport.errors import PlaceError, Refused

MODEL_VERSION = "1"
"""Of the base DNN, which never changes while it is served; caches have versions of their own."""

INLINE_DECODING_BYTES = 64 * 1024
"""A smaller body is decoded at once, a larger one in a thread, so that others need not wait."""


class Service(Protocol):
    """What endpoints call."""

    name: str
    """Of the model."""
    description: ModelDescription
    limits: HttpLimits

    async def answer(
        self, batch: np.ndarray, use_caches: bool, start: float, timeline: Timeline
    ) -> Answers: ...

    async def check_ready(self) -> None: ...

    async def stats(self) -> dict: ...

    async def ask_trainer(self, method: str, *args): ...

    def count_error(self, status: int) -> None: ...


def build(service: Service) -> FastAPI:
    """The application of one router."""
    app = FastAPI(title="GATI on Ray Serve")
    app.add_exception_handler(RequestError, _refuse)
    _add_inference(app, service)
    _add_health(app, service)
    _add_operators(app, service)
    return app


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse({"error": str(error)}, error.status)


def _add_inference(app: FastAPI, service: Service) -> None:
    description, limits = service.description, service.limits

    async def decoded(data: bytes) -> np.ndarray:
        channels = len(description.preprocessing.mean)
        arguments = data, channels, limits.max_image_pixels
        if len(data) <= INLINE_DECODING_BYTES:
            return decode_image(*arguments)
        return await asyncio.to_thread(decode_image, *arguments)

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        """A PNG or JPEG, raw or as the multipart field `image`; `?cache=off` asks the base DNN, and
        the header `X-Trace: 1` where the time went."""
        start = time.perf_counter()
        timeline = Timeline(start)
        with _errors_counted(service):
            use_caches = protocol.parse_cache(
                request.query_params.get("cache", "on"), "the query parameter 'cache'"
            )
            if description.preprocessing is None:
                raise InvalidInput(
                    f"the model takes tensors, not images; use /v2/models/{service.name}/infer"
                )
            with timeline.step("read"):
                body = await read_body(request, limits.max_body_bytes)
            with timeline.step("decode"):
                image = await decoded(await image_bytes(request, body))
            answers = await service.answer(image[None], use_caches, start, timeline)
        class_id, exit = int(answers.class_ids[0]), answers.exits[0]
        return JSONResponse(
            {
                "label": description.classes[class_id],
                "class_id": class_id,
                "probability": float(answers.probabilities[0, class_id]),
                "exit": exit,
                "cache_version": None if exit == BASE else answers.cache_version,
                "latency_ms": round((time.perf_counter() - start) * 1e3, 3),
                "request_id": _request_id(request),
                **_trace(request, timeline),
            }
        )

    @app.post("/v2/models/{name}/infer")
    @app.post("/v2/models/{name}/versions/{version}/infer")
    async def infer(request: Request, name: str, version: str = MODEL_VERSION) -> JSONResponse:
        """Open Inference Protocol; each row of a batch exits where it may."""
        start = time.perf_counter()
        timeline = Timeline(start)
        with _errors_counted(service):
            _check_model(service, name, version)
            with timeline.step("read"):
                body = await read_body(request, limits.max_body_bytes)
            parse = protocol.parse, body, description, limits.max_batch_rows
            with timeline.step("decode"):
                if len(body) <= INLINE_DECODING_BYTES:
                    parsed, batch = parse[0](*parse[1:])
                else:
                    parsed, batch = await asyncio.to_thread(*parse)
            use_caches = protocol.use_caches(parsed)
            answers = await service.answer(batch, use_caches, start, timeline)
        response = protocol.response(
            parsed, _request_id(request), answers, description, name, version
        )
        response["parameters"] |= _trace(request, timeline)
        return JSONResponse(response)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/v2")
    async def server_metadata() -> dict:
        return {"name": "gati", "version": "0.1.0", "extensions": []}

    @app.get("/v2/health/live")
    async def live() -> dict:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> dict:
        await service.check_ready()
        return {"ready": True}

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    async def model_metadata(name: str, version: str = MODEL_VERSION) -> dict:
        _check_model(service, name, version)
        return protocol.metadata(service.description, name, MODEL_VERSION)

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(name: str, version: str = MODEL_VERSION) -> dict:
        _check_model(service, name, version)
        await service.check_ready()
        return {"name": name, "ready": True}

    @app.get("/stats")
    async def stats() -> dict:
        """What all router replicas have answered since they started."""
        return await service.stats()


def _add_operators(app: FastAPI, service: Service) -> None:
    only = [Depends(admin.only)]

    async def field(request: Request, name: str):
        return admin.field(await read_body(request, service.limits.max_body_bytes), name)

    @app.get("/admin/versions", dependencies=only)
    async def versions() -> list[dict]:
        return await service.ask_trainer("versions")

    @app.get("/admin/rounds", dependencies=only)
    async def rounds() -> list[dict]:
        return await service.ask_trainer("rounds")

    @app.post("/admin/retrain", dependencies=only, status_code=202)
    async def retrain() -> dict:
        await service.ask_trainer("retrain")
        return {"retrain": "as soon as the trainer is free; see /admin/rounds"}

    @app.post("/admin/rollback", dependencies=only)
    async def rollback(request: Request) -> dict:
        return await service.ask_trainer("roll_back", await field(request, "version"))

    @app.post("/admin/pin", dependencies=only)
    async def pin(request: Request) -> dict:
        pinned = await field(request, "pinned")
        await service.ask_trainer("pin", pinned)
        return {"pinned": pinned}

    @app.post("/admin/mode", dependencies=only)
    async def mode(request: Request) -> dict:
        mode = await field(request, "mode")
        await service.ask_trainer("set_mode", mode)
        return {"mode": mode}

    @app.delete("/admin/samples", dependencies=only)
    async def delete_samples() -> dict:
        await service.ask_trainer("delete_samples")
        return {"samples": "deleted"}


def _check_model(service: Service, name: str, version: str) -> None:
    if name != service.name:
        raise NotFound(f"no model {name!r}; there is {service.name!r}")
    if version != MODEL_VERSION:
        raise NotFound(f"model {name!r} has no version {version!r}; it has {MODEL_VERSION!r}")


def _request_id(request: Request) -> str:
    return request.headers.get("x-request-id") or uuid.uuid4().hex


def _trace(request: Request, timeline: Timeline) -> dict:
    return {"trace": timeline.told()} if request.headers.get("x-trace") == "1" else {}


@contextmanager
def _errors_counted(service: Service):
    """Turns what the graph raises into a named error, and counts errors by status."""
    try:
        try:
            yield
        except Refused as error:
            raise Unavailable(f"the server is at its limit, try again later: {error}") from error
        except (PlaceError, RayError, RayServeException) as error:
            raise Unavailable(f"the base DNN cannot answer now: {error}") from error
    except RequestError as error:
        service.count_error(error.status)
        raise
