"""Endpoints for operators: what they may ask for, and who may."""

from __future__ import annotations

import asyncio
import hmac
import os
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field, StrictBool, ValidationError

from deployments.ingress.decoding import read_body
from deployments.ingress.documents import problems, takes
from deployments.ingress.errors import (
    NOTHING_HERE,
    Conflict,
    InvalidInput,
    NotFound,
    TooMany,
    Unauthorized,
    Unavailable,
)
from deployments.ingress.service import Service

TOKEN = "GATI_ADMIN_TOKEN"
"""Environment variable of the bearer token; without it there are no `/admin` paths."""
MAX_BODY_BYTES = 4096
WRONG_S, MOST_WRONG = 1.0, 8
"""A wrong token is answered after so long, and while so many are, nobody's is looked at: so no more
can be tried in a second."""

B = TypeVar("B", bound=BaseModel)


class Mode(BaseModel):
    mode: Literal["serve", "shadow", "off"] = Field(examples=["shadow"])


class Pin(BaseModel):
    pinned: StrictBool = Field(examples=[True])


class Rollback(BaseModel):
    version: int = Field(examples=[1], strict=True)


class Retrain(BaseModel):
    retrain: str = "as soon as the trainer is free; see /admin/rounds"


class Deleted(BaseModel):
    samples: Literal["deleted"] = "deleted"


class Forgotten(BaseModel):
    streams: Literal["forgotten"] = "forgotten"


BODIES = (Mode, Pin, Rollback)


def add(app: FastAPI, service: Service) -> None:
    """Add their paths."""
    router = APIRouter(
        prefix="/admin",
        tags=["operators"],
        dependencies=[Depends(Door()), Depends(HTTPBearer(auto_error=False))],
        responses=problems(Unauthorized, NotFound, TooMany, Unavailable),
    )
    wrong_body, refused = problems(InvalidInput), problems(Conflict)

    @router.get("/versions", summary="Versions, and what they were tested on")
    async def versions() -> list[dict[str, Any]]:
        return await service.ask_trainer("versions")

    @router.get("/rounds", summary="Why each round ran, and what it decided")
    async def rounds() -> list[dict[str, Any]]:
        return await service.ask_trainer("rounds")

    @router.post("/retrain", summary="Ask for a round", status_code=202)
    async def retrain() -> Retrain:
        await service.ask_trainer("retrain")
        return Retrain()

    @router.post(
        "/rollback",
        summary="Serve another version",
        responses=wrong_body | refused,
        openapi_extra=takes(Rollback),
    )
    async def rollback(request: Request) -> dict[str, Any]:
        asked = await _body(request, Rollback)
        return await service.ask_trainer("roll_back", asked.version)

    @router.post(
        "/pin",
        summary="Publish nothing until false",
        responses=wrong_body,
        openapi_extra=takes(Pin),
    )
    async def pin(request: Request) -> Pin:
        asked = await _body(request, Pin)
        await service.ask_trainer("pin", asked.pinned)
        return asked

    @router.post(
        "/mode",
        summary="Let caches answer, be judged, or rest",
        responses=wrong_body,
        openapi_extra=takes(Mode),
    )
    async def mode(request: Request) -> Mode:
        asked = await _body(request, Mode)
        await service.ask_trainer("set_mode", asked.mode)
        return asked

    @router.delete("/samples", summary="Delete all stored samples", responses=refused)
    async def delete_samples() -> Deleted:
        await service.ask_trainer("delete_samples")
        return Deleted()

    @router.delete("/streams", summary="Forget what lookups remember of streams")
    async def forget_streams() -> Forgotten:
        await service.forget_streams()
        return Forgotten()

    app.include_router(router)


class Door:
    """For those who have the token."""

    def __init__(self):
        self._wrong = 0

    async def __call__(self, request: Request) -> None:
        """
        Raises:
            NotFound, Unauthorized: as of `check_token`.
            TooMany: wrong tokens are being tried.
        """
        given = request.headers.get("authorization")
        if self._wrong >= MOST_WRONG:
            raise TooMany("wrong tokens are being tried; try again in a second")
        try:
            check_token(given, os.environ.get(TOKEN))
        except Unauthorized:
            if given:
                self._wrong += 1
                try:
                    await asyncio.sleep(WRONG_S)
                finally:
                    self._wrong -= 1
            raise


def check_token(authorization: str | None, token: str | None) -> None:
    """
    Args:
        authorization: the request's header.
        token: that it must bear; without one there is nothing here.

    Raises:
        NotFound, Unauthorized
    """
    if not token:
        raise NotFound(NOTHING_HERE)
    if not hmac.compare_digest((authorization or "").encode(), f"Bearer {token}".encode()):
        raise Unauthorized("send the header 'Authorization: Bearer <token>' with the admin token")


async def _body(request: Request, model: type[B]) -> B:
    return parse(await read_body(request, MAX_BODY_BYTES), model)


def parse(body: bytes, model: type[B]) -> B:
    """What an operator asks for, with a single field.

    Raises:
        InvalidInput: names the field, what it got and what it may be.
    """
    ((name, field),) = model.model_fields.items()
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["loc"] == (name,) and first["type"] != "missing":
            message = f"{name}: {first['msg']}, not {first['input']!r}"
        else:
            example = model.model_construct(
                **{name: (field.examples or ["…"])[0]}
            ).model_dump_json()
            message = f"the body must be a JSON object such as {example}"
        raise InvalidInput(message) from error
