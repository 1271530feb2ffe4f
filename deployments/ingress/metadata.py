"""Endpoints that say what is served, whether it is ready, and how it does."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, StrictBool

from deployments.ingress.documents import problems
from deployments.ingress.errors import NotFound, Unavailable
from deployments.ingress.open_inference import metadata as protocol
from deployments.ingress.service import Service
from deployments.ingress.stats import Report


class ServerMetadata(BaseModel):
    """
    Attributes:
        extensions: Triton's names of them.
    """

    name: str = protocol.SERVER
    version: str = protocol.SERVER_VERSION
    extensions: list[str] = protocol.EXTENSIONS


class Live(BaseModel):
    live: Literal[True] = True


class Ready(BaseModel):
    ready: Literal[True] = True


class ModelReady(BaseModel):
    name: str
    ready: Literal[True] = True


class IndexRequest(BaseModel):
    ready: StrictBool = False


class ModelIndex(BaseModel):
    name: str
    version: str = protocol.MODEL_VERSION
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""


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

    @router.get("/v2/models/stats", summary="What has been answered, in Triton's form")
    async def all_statistics() -> protocol.AllStatistics:
        return protocol.statistics(service.name, await service.report())

    def of_model(name: str, version: str) -> None:
        protocol.check_model(service.name, name, version)

    @router.get("/v2/models/{name}", summary="The model's tensors", responses=unknown)
    @router.get("/v2/models/{name}/versions/{version}", summary="The same", responses=unknown)
    async def model_metadata(
        name: str, version: str = protocol.MODEL_VERSION
    ) -> protocol.ModelMetadata:
        of_model(name, version)
        return protocol.metadata(name, service.description, service.limits)

    @router.get("/v2/models/{name}/config", summary="The same, in Triton's form", responses=unknown)
    @router.get(
        "/v2/models/{name}/versions/{version}/config", summary="The same", responses=unknown
    )
    async def model_config(
        name: str, version: str = protocol.MODEL_VERSION
    ) -> protocol.ModelConfig:
        of_model(name, version)
        return protocol.config(name, service.description, service.limits)

    @router.get(
        "/v2/models/{name}/stats",
        summary="What has been answered, in Triton's form",
        responses=unknown,
    )
    @router.get("/v2/models/{name}/versions/{version}/stats", summary="The same", responses=unknown)
    async def model_statistics(
        name: str, version: str = protocol.MODEL_VERSION
    ) -> protocol.AllStatistics:
        of_model(name, version)
        return protocol.statistics(name, await service.report())

    either = unknown | not_ready

    @router.get("/v2/models/{name}/ready", summary="Requests are answered", responses=either)
    @router.get("/v2/models/{name}/versions/{version}/ready", summary="The same", responses=either)
    async def model_ready(name: str, version: str = protocol.MODEL_VERSION) -> ModelReady:
        of_model(name, version)
        await service.check_ready()
        return ModelReady(name=name)

    @router.post("/v2/repository/index", summary="The one model that is served")
    async def repository_index(asked: IndexRequest | None = None) -> list[ModelIndex]:
        """With `ready`, only if it is."""
        try:
            await service.check_ready()
        except Unavailable as error:
            if asked and asked.ready:
                return []
            return [ModelIndex(name=service.name, state="UNAVAILABLE", reason=str(error))]
        return [ModelIndex(name=service.name, state="READY")]

    @router.get("/stats", summary="What has been answered", response_model_exclude_unset=True)
    async def stats() -> Report:
        """By all routers, since each started, and what the guard has seen."""
        return await service.report()

    app.include_router(router)
