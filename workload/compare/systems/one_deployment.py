"""What a user of Ray Serve would otherwise write: one deployment that decodes and computes.

Requests come as Starlette hands them on, which is quicker than through FastAPI; computing happens
in one thread, so that the replica's event loop stays free.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse


class Args(BaseModel, extra="forbid"):
    """
    Attributes:
        store: of the base DNN without caches.
        eager: whether to run the base DNN's module as it is.
        front: folder of a model cascade's CNN; none serves the base DNN alone.
    """

    store: Path
    device: str = "cpu"
    threads: int = 2
    eager: bool = False
    front: Path | None = None


class Model:
    def __init__(self, args: Args):
        self._thread = ThreadPoolExecutor(1)
        self._answer: Callable[[bytes], dict[str, Any]] = self._thread.submit(_load, args).result()

    async def __call__(self, request: Request) -> JSONResponse:
        body = await request.body()
        loop = asyncio.get_running_loop()
        return JSONResponse(await loop.run_in_executor(self._thread, self._answer, body))


def _load(args: Args) -> Callable[[bytes], dict[str, Any]]:
    if args.front is None:
        from workload.compare.systems.whole import Whole

        return Whole(args.store, args.device, args.threads, args.eager).answer
    from workload.compare.systems.cascade import Cascade

    return Cascade(args.store, args.device, args.threads, args.front).answer


deployment = serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.1})(Model)


def build(args: Args) -> serve.Application:
    return deployment.bind(args)
