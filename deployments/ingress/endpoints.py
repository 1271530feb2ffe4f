"""The application of one router: its endpoints translate requests and answers, and call the service
for all else. `inference`, `infer`, `metadata`, `admin` and `page` hold one subject each.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from deployments.ingress import admin, infer, inference, metadata, middleware, page
from deployments.ingress.caller import caller
from deployments.ingress.documents import ANY_PROBLEM, document
from deployments.ingress.errors import NOTHING_HERE, RequestError
from deployments.ingress.open_inference.schema import InferRequest
from deployments.ingress.service import Service

logger = logging.getLogger(__name__)


def build(service: Service) -> FastAPI:
    """The application, which gives every error as `{"error": …}`."""
    app = FastAPIOffline(
        title="GATI on Ray Serve",
        version="0.1.0",
        responses=ANY_PROBLEM,
        redirect_slashes=False,  # a redirect names the host that the client named
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},  # which is another host's
        # FastAPI's own spans begin a trace beside Serve's where the caller sends none.
        telemetry={"tracing": False},
    )
    middleware.add(app, service.limits.cors_origins)
    for subject in (inference, infer, metadata, admin, page):
        subject.add(app, service)
    document(app, InferRequest, *admin.BODIES)

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def no_such_path(request: Request, error: HTTPException) -> JSONResponse:
        message, headers = error.detail, dict(error.headers or {})
        if error.status_code == 404:
            slash = request.url.path.endswith("/") and request.url.path != "/"
            message = f"{NOTHING_HERE}{', without a slash at the end' if slash else ''}"
        elif error.status_code == 405:
            methods = set(headers.get("Allow", "").split(", "))
            allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
            headers["Allow"] = allowed
            message = f"{request.method} is not for this path; it may be {allowed}"
            if "access-control-request-method" in request.headers:
                message += "; http.cors_origins in serve_config.yaml says which origins may ask"
        return JSONResponse({"error": message}, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return JSONResponse({"error": f"{field}: {first['msg']}, not {first['input']!r}"}, 422)

    @app.exception_handler(Exception)
    async def our_mistake(request: Request, error: Exception) -> JSONResponse:
        """Nothing should come here; whoever runs the app is given the error, too."""
        asker = caller(request.headers)
        logger.error("%s: %s %s failed", asker, request.method, request.url.path, exc_info=error)
        service.count_error(500)
        message = f"the server failed on this request, which is its mistake: {error!r}"
        return JSONResponse({"error": f"{message}; the router's log has the traceback"}, 500)

    return app
