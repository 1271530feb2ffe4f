"""What stands between a client and the endpoints, whatever the path."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "DELETE")


def add(app: FastAPI, cors_origins: Sequence[str]) -> None:
    """Add it; CORS only where there are origins, since every request would pass it."""
    app.add_middleware(HeadAsGet)
    if cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=cors_origins,
            allow_methods=METHODS,
            allow_headers=["*"],
            expose_headers=["*"],
        )


class HeadAsGet:
    """HEAD gets what GET would, without the body."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class Cors(CORSMiddleware):
    """Starlette's, with errors as all errors are."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
        message = f"{bytes(response.body).decode()}; http.cors_origins says which origins may ask"
        return JSONResponse({"error": message}, response.status_code, headers)
