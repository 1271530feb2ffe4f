"""The page at `/`, for people who run the server: its files, and the events that keep it live.

It may load, show and ask what comes from this server, and nothing else. Its paths are no part of
what programs may rely on, so `/openapi.json` is silent about them.
"""

from __future__ import annotations

import html
import json
import os
from typing import Any

from fastapi import FastAPI, Request, Response

from cache_models.network.description import ModelDescription
from cache_models.network.stages import INPUT, Stage
from cache_models.network.tokens import Tokens
from cache_models.store.plan import Plan
from deployments.ingress.admin import TOKEN
from deployments.ingress.live import Live
from deployments.ingress.service import Service
from deployments.page import FOLDER

FILES = {"page.css": "text/css", "page.js": "text/javascript"}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add(app: FastAPI, service: Service) -> None:
    """Add its paths."""
    live = Live(service, json.dumps(about(service)))
    text = (FOLDER / "page.html").read_text()

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        """Its links are below the prefix of the application's routes, whatever that is."""
        root = html.escape(request.scope.get("root_path", "").rstrip("/"))
        return Response(text.replace("{root}", root), media_type="text/html", headers=HEADERS)

    for name, media_type in FILES.items():
        _add_file(app, name, media_type)

    @app.get("/events", include_in_schema=False)
    async def events() -> Response:
        return live.listen()


def _add_file(app: FastAPI, name: str, media_type: str) -> None:
    content = (FOLDER / name).read_bytes()

    @app.get(f"/{name}", include_in_schema=False)
    async def file() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)


def about(service: Service) -> dict[str, Any]:
    """What the page must know once: the model, what it takes, where requests may leave, and what
    the build has promised."""
    plan = service.plan
    return {
        "model": service.name,
        "classes": service.description.classes,
        "takes": _takes(service.description),
        "stages": [
            {
                "name": stage.name,
                "kind": stage.kind,
                "exit": stage.end,
                "share": _share(plan, stage),
            }
            for stage in plan.stages()
        ],
        "limits": plan.promise.limits.model_dump(),
        "expected": plan.expected.model_dump(),
        "admin": bool(os.environ.get(TOKEN)),
    }


def _share(plan: Plan, stage: Stage) -> float:
    """Of the base DNN's compute, that a stage takes for one request, as the build measured it."""
    if stage.is_lookup:
        return plan.caches[stage.slice_index].lookup_ms / plan.expected.base_compute_ms
    paid = {point.name: point.compute_share for point in plan.candidates} | {INPUT: 0.0, None: 1.0}
    return paid[stage.end] - paid[stage.start]


def _takes(description: ModelDescription) -> str:
    if description.reader is None:
        return "tensors" if description.preprocessing is None else "picture"
    return "text" if isinstance(description.reader, Tokens) else "sound"
