"""The ingress: checks and decodes requests over HTTP, and has them answered with late binding."""

import asyncio
import time

import numpy as np
import torch
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.handle import DeploymentHandle

from cache_models.cascade import Answers, Cascade, Control, Trace
from cache_models.network.preprocessing import as_tensor
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import AppArgs
from deployments.follow.control_client import TRAINER, ControlClient
from deployments.follow.sampler import Sampler
from deployments.graph.speculation import Speculation
from deployments.graph.timeline import Timeline
from deployments.ingress import admin
from deployments.ingress.endpoints import build
from deployments.ingress.errors import Unavailable
from deployments.ingress.stats import Stats, merge
from deployments.transport.place import connect

CHUNK_ROWS = 32

TRAINER_S = 60.0


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.1})
@serve.ingress()
class Router:
    """Composes partitions and lookups; any number of replicas may run."""

    def __init__(self, args: AppArgs, plan: Plan, graph: dict[str, DeploymentHandle]):
        """
        Args:
            graph: by stage name.
        """
        _use_one_thread()
        self._args = args
        self._plan = plan
        self.name, self.limits = args.name, args.http
        self.description = plan.description
        self._stages = stages = plan.stages()
        self._lookups_seen = False
        bytes_per_value = args.activation_bytes_per_value
        self._place = connect(stages, graph, args.lane, args.store, bytes_per_value)
        speculation = Speculation(stages, args.order)
        self._cascade = Cascade(
            stages,
            len(plan.description.classes),
            self._place,
            Control(Store(args.store).serving(plan).number, on=args.mode == "serve"),
            args.lookup_timeout_ms / 1e3,
            speculation,
        )
        self._client = ControlClient(args, self._cascade, self._place)
        self._sampler = Sampler(args.sampling, self._cascade, speculation.busy, self._client)
        self._stats = Stats()

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve after the constructor."""
        self._client.start()
        return build(self)

    async def answer(
        self, batch: np.ndarray, use_caches: bool, start: float, timeline: Timeline
    ) -> Answers:
        """Answer all rows, in chunks that fit one message, and count them unless caches are off."""
        batch, resized = self._smallest_faithful_form(batch)
        size = min(CHUNK_ROWS, self._place.max_rows(batch[0].nbytes))

        async def answer(chunk: np.ndarray) -> Answers:
            inclusion = self._sampler.choose() if use_caches else 0.0
            trace = Trace(resized) if use_caches else None
            answers = await self._cascade.answer(chunk, resized, use_caches, timeline, trace)
            if trace is not None:
                self._sampler.add(trace, answers, inclusion)
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
        height, width = self.description.preprocessing.crop_size
        if batch.shape[1] * batch.shape[2] <= height * width:
            return batch, False
        resized = self.description.preprocessing.resize(as_tensor(batch))
        return resized.permute(0, 2, 3, 1).contiguous().numpy(), True

    async def stats(self) -> dict:
        """What all router replicas have answered since they started."""
        context = serve.get_replica_context()
        routers = serve.get_deployment_handle(context.deployment, context.app_name)
        snapshots = await routers.broadcast("local_stats").results_async(timeout_s=5)
        return {
            "routers": len(snapshots),
            **merge(snapshots),
            "model": self.name,
            **await self._trainer_status(),
            "plan": self._plan.model_dump(mode="json", exclude={"description": {"classes"}}),
        }

    async def local_stats(self) -> dict:
        """This replica's share of `/stats`."""
        return self._stats.snapshot(self._place.failures, self._place.by_way)

    async def _trainer_status(self) -> dict:
        try:
            status = await self.ask_trainer("status")
            return status | {"cache_version": self._cascade.control.version}
        except Unavailable as error:
            caches = "on" if self._cascade.control.on else "off"
            return {
                "guard": {"caches": caches, "trainer": str(error)},
                "mode": self._client.instructions.mode,
                "cache_version": self._cascade.control.version,
            }

    async def ask_trainer(self, method: str, *args):
        """Ask the trainer; it may take as long as a round."""
        try:
            trainer = serve.get_deployment_actor(TRAINER)
            return await asyncio.wait_for(getattr(trainer, method).remote(*args), TRAINER_S)
        except RayTaskError as error:
            raise admin.Refused(str(error.cause)) from error
        except (RayError, ValueError, TimeoutError) as error:
            raise Unavailable(f"the trainer does not answer: {error!r}") from error

    async def check_ready(self) -> None:
        """All partitions answer, and every lookup has once: one lost later costs only hits."""
        needed = [s for s in self._stages if not (s.is_lookup and self._lookups_seen)]
        try:
            await asyncio.wait_for(self._place.ping(needed), timeout=2)
        except Exception as error:
            raise Unavailable(f"not all deployments answer yet: {error!r}") from error
        self._lookups_seen = True

    def count_error(self, status: int) -> None:
        self._stats.count_error(status)


def _use_one_thread() -> None:
    """PyTorch's threads would spin beside the partitions'; resizing one image needs no second."""
    torch.set_num_threads(1)
