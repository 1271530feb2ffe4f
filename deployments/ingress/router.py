"""The ingress: checks and decodes requests over HTTP, and has them answered with late binding."""

import asyncio
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from cache_models.data.recording import as_tensor
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import AppArgs
from deployments.follow.sampler import TRAINER, Sampler
from deployments.graph.late_binding import BASE, Answers, LateBinding, Trace
from deployments.graph.timeline import Timeline
from deployments.ingress import admin
from deployments.ingress import open_inference as protocol
from deployments.ingress.decoding import decode_image, image_bytes, read_body
from deployments.ingress.errors import InvalidInput, NotFound, RequestError, Unavailable
from deployments.ingress.stats import Stats, merge
from deployments.transport.remote import INLINE_BYTES, Remote
from deployments.transport.zmq.key import load_key

MODEL_VERSION = "1"
"""Of the base DNN, which never changes while it is served; caches have versions of their own."""

INLINE_DECODING_BYTES = 64 * 1024
"""A smaller body is decoded at once, a larger one in a thread, so that others need not wait."""

CHUNK_ROWS = 32

TRAINER_S = 60.0

app = FastAPI(title="GATI on Ray Serve")

ADMIN = [Depends(admin.only)]


# Serve pickles the app when it decorates the class: whatever the handlers use must stand above it.
def _request_id(request: Request) -> str:
    return request.headers.get("x-request-id") or uuid.uuid4().hex


def _trace(request: Request, timeline: Timeline) -> dict:
    return {"trace": timeline.told()} if request.headers.get("x-trace") == "1" else {}


@app.exception_handler(RequestError)
async def _refuse(_: Request, error: RequestError) -> JSONResponse:
    return JSONResponse({"error": str(error)}, error.status)


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.1})
@serve.ingress(app)
class Router:
    """Composes partitions and lookups; any number of replicas may run."""

    def __init__(
        self,
        args: AppArgs,
        plan: Plan,
        partitions: list[DeploymentHandle],
        lookups: list[DeploymentHandle],
    ):
        # PyTorch's threads would spin beside the partitions'; resizing one image needs no second.
        torch.set_num_threads(1)
        self._args = args
        self._plan = plan
        self._description = plan.description
        key = load_key(Path(args.store)) if args.lane.enabled else None
        self._partitions = [Remote(handle, key) for handle in partitions]
        self._lookups = [Remote(handle, key) for handle in lookups]
        self._lookups_seen = False
        bytes_per_value = getattr(torch, args.activation_dtype).itemsize
        self._late_binding = LateBinding(
            plan,
            Store(args.store).serving(plan).number,
            self._partitions,
            self._lookups,
            args.lookup_timeout_ms,
            bytes_per_value,
            args.order,
        )
        self._sampler = Sampler(args, self._late_binding, self._lookups)
        self._stats = Stats()

    # --- answers ---------------------------------------------------------------------------------

    @app.post("/predict")
    async def predict(self, request: Request) -> JSONResponse:
        """A PNG or JPEG, raw or as the multipart field `image`; `?cache=off` asks the base DNN, and
        the header `X-Trace: 1` where the time went."""
        start = time.perf_counter()
        timeline = Timeline(start)
        with self._errors_counted():
            use_caches = protocol.parse_cache(
                request.query_params.get("cache", "on"), "the query parameter 'cache'"
            )
            if self._description.preprocessing is None:
                raise InvalidInput(
                    f"the model takes tensors, not images; use /v2/models/{self._args.name}/infer"
                )
            with timeline.step("read"):
                body = await read_body(request, self._args.http.max_body_bytes)
            with timeline.step("decode"):
                image = await self._decode(await image_bytes(request, body))
            answers = await self._answer(image[None], use_caches, start, timeline)
        class_id, exit = int(answers.class_ids[0]), answers.exits[0]
        return JSONResponse(
            {
                "label": self._description.classes[class_id],
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
    async def infer(self, request: Request, name: str, version: str = MODEL_VERSION):
        """Open Inference Protocol; each row of a batch exits where it may."""
        start = time.perf_counter()
        timeline = Timeline(start)
        with self._errors_counted():
            self._check_model(name, version)
            with timeline.step("read"):
                body = await read_body(request, self._args.http.max_body_bytes)
            parse = protocol.parse, body, self._description, self._args.http.max_batch_rows
            with timeline.step("decode"):
                if len(body) <= INLINE_DECODING_BYTES:
                    parsed, batch = parse[0](*parse[1:])
                else:
                    parsed, batch = await asyncio.to_thread(*parse)
            answers = await self._answer(batch, protocol.use_caches(parsed), start, timeline)
        response = protocol.response(
            parsed, _request_id(request), answers, self._description, name, version
        )
        response["parameters"] |= _trace(request, timeline)
        return JSONResponse(response)

    # --- what is served --------------------------------------------------------------------------

    @app.get("/v2")
    async def server_metadata(self):
        return {"name": "gati", "version": "0.1.0", "extensions": []}

    @app.get("/v2/health/live")
    async def live(self):
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready(self):
        await self._check_ready()
        return {"ready": True}

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    async def model_metadata(self, name: str, version: str = MODEL_VERSION):
        self._check_model(name, version)
        return protocol.metadata(self._description, name, MODEL_VERSION)

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(self, name: str, version: str = MODEL_VERSION):
        self._check_model(name, version)
        await self._check_ready()
        return {"name": name, "ready": True}

    @app.get("/stats")
    async def stats(self):
        """What all router replicas have answered since they started."""
        context = serve.get_replica_context()
        routers = serve.get_deployment_handle(context.deployment, context.app_name)
        snapshots = await routers.broadcast("local_stats").results_async(timeout_s=5)
        return {
            "routers": len(snapshots),
            **merge(snapshots),
            "model": self._args.name,
            **await self._trainer_status(),
            "plan": self._plan.model_dump(mode="json", exclude={"description": {"classes"}}),
        }

    async def local_stats(self) -> dict:
        """This replica's share of `/stats`."""
        remotes = [*self._partitions, *self._lookups]
        hops = {remote.name: remote.by_way for remote in remotes}
        return self._stats.snapshot(self._late_binding.failures, hops)

    async def _trainer_status(self) -> dict:
        try:
            status = await self._trainer("status")
            return status | {"cache_version": self._late_binding.version}
        except Unavailable as error:
            caches = "on" if self._sampler.caches_on else "off"
            return {
                "guard": {"caches": caches, "trainer": str(error)},
                "mode": self._sampler.mode,
                "cache_version": self._late_binding.version,
            }

    # --- operators -------------------------------------------------------------------------------

    @app.get("/admin/versions", dependencies=ADMIN)
    async def versions(self):
        return await self._trainer("versions")

    @app.get("/admin/rounds", dependencies=ADMIN)
    async def rounds(self):
        return await self._trainer("rounds")

    @app.post("/admin/retrain", dependencies=ADMIN, status_code=202)
    async def retrain(self):
        await self._trainer("retrain")
        return {"retrain": "as soon as the trainer is free; see /admin/rounds"}

    @app.post("/admin/rollback", dependencies=ADMIN)
    async def rollback(self, request: Request):
        return await self._trainer("roll_back", await self._field(request, "version"))

    @app.post("/admin/pin", dependencies=ADMIN)
    async def pin(self, request: Request):
        pinned = await self._field(request, "pinned")
        await self._trainer("pin", pinned)
        return {"pinned": pinned}

    @app.post("/admin/mode", dependencies=ADMIN)
    async def mode(self, request: Request):
        mode = await self._field(request, "mode")
        await self._trainer("set_mode", mode)
        return {"mode": mode}

    @app.delete("/admin/samples", dependencies=ADMIN)
    async def delete_samples(self):
        await self._trainer("delete_samples")
        return {"samples": "deleted"}

    async def _field(self, request: Request, name: str):
        return admin.field(await read_body(request, self._args.http.max_body_bytes), name)

    async def _trainer(self, method: str, *args):
        """Ask the trainer; it may take as long as a round."""
        try:
            trainer = serve.get_deployment_actor(TRAINER)
            return await asyncio.wait_for(getattr(trainer, method).remote(*args), TRAINER_S)
        except RayTaskError as error:
            raise admin.Refused(str(error.cause)) from error
        except (RayError, ValueError, TimeoutError) as error:
            raise Unavailable(f"the trainer does not answer: {error!r}") from error

    # --- how -------------------------------------------------------------------------------------

    async def _answer(
        self, batch: np.ndarray, use_caches: bool, start: float, timeline: Timeline
    ) -> Answers:
        """Answer all rows, in chunks that fit one message, and count them unless caches are off."""
        batch, resized = self._smallest_faithful_form(batch)
        use_caches_now = use_caches and self._sampler.caches_on
        row_bytes = max(batch[0].nbytes, self._late_binding.row_bytes)
        size = max(1, min(CHUNK_ROWS, INLINE_BYTES // row_bytes))

        async def answer(chunk: np.ndarray) -> Answers:
            inclusion = self._sampler.choose() if use_caches else 0.0
            trace = Trace(resized) if use_caches else None
            answers = await self._late_binding.answer(
                chunk, resized, use_caches_now, timeline, trace
            )
            if use_caches:
                self._sampler.add(trace, answers, use_caches_now, inclusion)
            return answers

        with self._sampler.waiting():
            parts = await asyncio.gather(
                *(answer(batch[i : i + size]) for i in range(0, len(batch), size))
            )
        answers = Answers(
            np.concatenate([part.class_ids for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            [exit for part in parts for exit in part.exits],
            parts[0].cache_version,
        )
        if use_caches:
            self._stats.count(answers.exits, (time.perf_counter() - start) * 1e3)
        return answers

    def _smallest_faithful_form(self, batch: np.ndarray) -> tuple[np.ndarray, bool]:
        """Images larger than the base DNN's input are resized here, before they travel."""
        if batch.dtype != np.uint8:
            return batch, False
        height, width = self._description.preprocessing.crop_size
        if batch.shape[1] * batch.shape[2] <= height * width:
            return batch, False
        resized = self._description.preprocessing.resize(as_tensor(batch))
        return resized.permute(0, 2, 3, 1).contiguous().numpy(), True

    async def _decode(self, data: bytes) -> np.ndarray:
        channels = len(self._description.preprocessing.mean)
        arguments = data, channels, self._args.http.max_image_pixels
        if len(data) <= INLINE_DECODING_BYTES:
            return decode_image(*arguments)
        return await asyncio.to_thread(decode_image, *arguments)

    def _check_model(self, name: str, version: str) -> None:
        if name != self._args.name:
            raise NotFound(f"no model {name!r}; there is {self._args.name!r}")
        if version != MODEL_VERSION:
            raise NotFound(f"model {name!r} has no version {version!r}; it has {MODEL_VERSION!r}")

    async def _check_ready(self) -> None:
        """All partitions answer, and every lookup has once: one lost later costs only hits."""
        needed = self._partitions + ([] if self._lookups_seen else self._lookups)
        pings = asyncio.gather(*(remote.call_by_handle("ping") for remote in needed))
        try:
            await asyncio.wait_for(pings, timeout=2)
        except Exception as error:
            raise Unavailable(f"not all deployments answer yet: {error!r}") from error
        self._lookups_seen = True

    @contextmanager
    def _errors_counted(self):
        """Turns what Ray raises into a named error, and counts errors by status."""
        try:
            try:
                yield
            except BackPressureError as error:
                raise Unavailable(
                    f"the server is at its limit, try again later: {error}"
                ) from error
            except (RayError, RayServeException) as error:
                raise Unavailable(f"the base DNN cannot answer now: {error}") from error
        except RequestError as error:
            self._stats.count_error(error.status)
            raise
