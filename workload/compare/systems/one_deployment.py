"""What a user of Ray Serve would otherwise write: one deployment that decodes and computes.

Requests come as Starlette hands them on, which is quicker than through FastAPI; computing happens
in one thread, so that the replica's event loop stays free.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:  # what a server does not serve it need not load
    from workload.compare.systems.apparate import Apparate
    from workload.compare.systems.whole import Whole


class Args(BaseModel, extra="forbid"):
    """
    Attributes:
        store: of the base DNN without caches; with `exits` as `stores.exits_store` makes it.
        eager: whether to run the base DNN's module as it is.
        front: folder of a model cascade's CNN; none serves the base DNN alone.
        int8: graph of the base DNN in integers, to run in its place.
        reuse, limit: which earlier answers are given once more, as of `reuse.Earlier`; none are.
        exits: whether answers leave at the store's predictors, as Apparate has it.
    """

    store: Path
    device: str = "cpu"
    threads: int = 2
    eager: bool = False
    front: Path | None = None
    int8: Path | None = None
    reuse: Literal["exact", "hash", "difference"] | None = None
    limit: float = 0.0
    exits: bool = False


class Model:
    def __init__(self, args: Args):
        self._thread = ThreadPoolExecutor(1)
        self._model = self._thread.submit(_load, args).result()

    async def __call__(self, request: Request) -> JSONResponse:
        body = await request.body()
        loop, stream = asyncio.get_running_loop(), request.headers.get("x-stream", "")
        return JSONResponse(
            await loop.run_in_executor(self._thread, self._model.answer, body, stream)
        )


def _load(args: Args) -> "Whole | Apparate":
    common = args.store, args.device, args.threads
    if args.front is not None:
        from workload.compare.systems.cascade import Cascade

        return Cascade(*common, args.front)
    if args.int8 is not None:
        from workload.compare.systems.int8 import Int8

        return Int8(*common, args.int8)
    if args.reuse is not None:
        from workload.compare.systems.reuse import Reuse

        return Reuse(*common, args.reuse, args.limit)
    if args.exits:
        from workload.compare.systems.apparate import Apparate

        return Apparate(*common)
    from workload.compare.systems.whole import Whole

    return Whole(*common, args.eager)


deployment = serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.1})(Model)


def build(args: Args) -> serve.Application:
    return deployment.bind(args)
