"""Endpoints that read their requests themselves, without what FastAPI does for others.

For every request it would solve dependencies, keep stacks of what is to be closed, and look at the
response; of a request that is answered in a millisecond that is a twentieth. Routes, schemas,
middleware and error handlers are FastAPI's as for all others.
"""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send


def make_direct(app: FastAPI, endpoint: Callable[..., Awaitable[Response]]) -> None:
    """Have the application call `endpoint` with nothing but the request and what is in its path.

    Args:
        endpoint: has been added to it, takes no dependencies, and returns a response.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await endpoint(request, **request.path_params)
        await response(scope, receive, send)

    routes = app.router.routes
    for route in list(routes):
        if isinstance(route, APIRoute) and route.endpoint is endpoint:
            route.app = call
            routes.remove(route)  # and be the first that is tried, here and by Serve
            routes.insert(0, route)
