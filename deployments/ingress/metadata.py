"""Endpoints that say what is served, whether it is ready, and how it does."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from deployments.ingress import open_inference as protocol
from deployments.ingress.documents import problems
from deployments.ingress.errors import NotFound, Unavailable
from deployments.ingress.service import Service
from deployments.ingress.stats import Report

MODEL_VERSION = "1"
"""Of the base DNN, which never changes while it is served; caches have versions of their own."""


class ServerMetadata(BaseModel):
    name: Literal["gati"] = "gati"
    version: str = "0.1.0"
    extensions: list[str] = []


class Live(BaseModel):
    live: Literal[True] = True


class Ready(BaseModel):
    ready: Literal[True] = True


class ModelReady(BaseModel):
    name: str
    ready: Literal[True] = True


def add(app: FastAPI, service: Service) -> None:
    """Add their paths."""
    router = APIRouter(tags=["health and metadata"])
    unknown, not_ready = problems(NotFound), problems(Unavailable)

    @router.get("/v2", summary="The server")
    async def server_metadata() -> ServerMetadata:
        return ServerMetadata()

    @router.get("/v2/health/live", summary="This router runs")
    async def live() -> Live:
        return Live()

    @router.get("/v2/health/ready", summary="Requests are answered", responses=not_ready)
    async def ready() -> Ready:
        """All partitions answer, and every lookup has once."""
        await service.check_ready()
        return Ready()

    @router.get("/v2/models/{name}", summary="The model's tensors", responses=unknown)
    @router.get("/v2/models/{name}/versions/{version}", summary="The same", responses=unknown)
    async def model_metadata(name: str, version: str = MODEL_VERSION) -> protocol.ModelMetadata:
        check_model(service, name, version)
        return protocol.ModelMetadata(**protocol.metadata(service.description, name, MODEL_VERSION))

    either = unknown | not_ready

    @router.get("/v2/models/{name}/ready", summary="Requests are answered", responses=either)
    @router.get("/v2/models/{name}/versions/{version}/ready", summary="The same", responses=either)
    async def model_ready(name: str, version: str = MODEL_VERSION) -> ModelReady:
        check_model(service, name, version)
        await service.check_ready()
        return ModelReady(name=name)

    @router.get("/stats", summary="What has been answered", response_model_exclude_unset=True)
    async def stats() -> Report:
        """By all routers, since each started, and what the guard has seen."""
        return await service.report()

    app.include_router(router)


def check_model(service: Service, name: str, version: str) -> None:
    """
    Raises:
        NotFound: another model is served, or another version.
    """
    if name != service.name:
        raise NotFound(f"no model {name!r}; there is {service.name!r}")
    if version != MODEL_VERSION:
        raise NotFound(f"model {name!r} has no version {version!r}; it has {MODEL_VERSION!r}")
