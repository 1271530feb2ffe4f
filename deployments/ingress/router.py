"""The ingress: a router connects the parts that read requests over HTTP and gRPC and have them
answered."""

import asyncio
from functools import partial
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from cache_models.cascade import Answers, Cascade, Control, UnderWay
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import AppArgs
from deployments.follow.control_client import ControlClient
from deployments.follow.sampler import Sampler
from deployments.graph.own_lookup import OwnLookup
from deployments.graph.speculation import Speculation
from deployments.graph.timeline import Timeline
from deployments.ingress import trainer_client
from deployments.ingress.answering import Answering
from deployments.ingress.endpoints import build
from deployments.ingress.errors import Unavailable
from deployments.ingress.grpc_methods import Methods
from deployments.ingress.inputs import Inputs
from deployments.ingress.load import Load
from deployments.ingress.metrics import Now, record
from deployments.ingress.readiness import Readiness
from deployments.ingress.resizing import Input
from deployments.ingress.stats import Report, Snapshot, Stats, merge, together, traffic
from deployments.ingress.streams import Streams
from deployments.ingress.workers import Workers
from deployments.metrics.recorder import Recorder, record_for_ever
from deployments.transport.place import connect


@serve.deployment(
    max_ongoing_requests=1000, health_check_period_s=1, ray_actor_options={"num_cpus": 0.1}
)
@serve.ingress()
class Router(Methods):
    """Composes partitions and lookups; any number of replicas may run."""

    def __init__(self, args: AppArgs, plan: Plan, graph: dict[str, DeploymentHandle]):
        """
        Args:
            graph: by stage name.
        """
        self.plan = plan
        self.name, self.limits = args.name, args.http
        self.description = plan.description
        self.workers = Workers()
        self.inputs = Inputs(plan.description, args.http, self.workers)

        stages = plan.stages()
        self._own = {
            stage: OwnLookup(stage, plan, args.store, args.compute(stage), args.streams.limits)
            for stage in filter(args.asked_in_router, stages)
        }
        value_bytes = args.activation_bytes_per_value
        self._place = connect(stages, graph, args.lane, args.store, value_bytes, self._own)
        self.load = Load(args.load)
        speculation = Speculation(stages, args.order, lambda: self.load.is_high)
        self._cascade = Cascade(
            stages,
            len(plan.description.classes),
            self._place,
            Control(Store(args.store).serving(plan).number, on=False),
            args.lookup_timeout_ms / 1e3,
            speculation,
            UnderWay(),
        )
        self._client = ControlClient(args, self._cascade, self._place)
        self._readiness = Readiness(stages, self._place.ping, self._client.asked)
        self._sampler = Sampler(
            args.sampling, self._cascade, self._client, lambda: self.load.is_high
        )
        self._stats, self._busy = Stats(), speculation.busy
        self._snapshots, self.leaving = 0, False
        self._streams = Streams(args.store, args.streams.shared)
        self._answering = Answering(
            self._cascade,
            self._sampler,
            self._stats,
            self._place.max_rows,
            self._busy,
        )

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve after the constructor."""
        self._client.start()
        for stage, lookup in self._own.items():
            lookup.begin(stage.name)
        self._recording = record_for_ever(self._now, partial(record, Recorder()))
        return build(self)

    async def answer(
        self, given: Input, use_caches: bool, timeline: Timeline, stream: str, timeout_s: float
    ) -> Answers:
        hashed = timeline.stream = self._streams.hashed(stream)
        with self.load.admitted(stream):
            answers = await self._answering.answer(given, use_caches, timeline, hashed, timeout_s)
        timeline.answers = answers
        return answers

    async def check_ready(self) -> None:
        await self._readiness.check()

    async def check_health(self) -> None:
        """Called by Serve, which replaces a router that raises three times.

        Raises:
            RuntimeError: nobody watches its caches any more, or finds its replicas.
        """
        self._place.check_health()
        self._client.check_health()
        self._sampler.check_health()
        for lookup in self._own.values():
            await lookup.check_health()

    async def report(self) -> Report:
        """Of all router replicas."""
        context = serve.get_replica_context()
        routers = serve.get_deployment_handle(context.deployment, context.app_name)
        before = self._snapshots
        snapshots, states = await asyncio.gather(
            routers.broadcast("snapshot").results_async(timeout_s=5), self._place.states()
        )
        self.leaving = self._snapshots == before  # it was not asked for its own
        whole = merge(snapshots)
        for name, said in whole.own.items():
            states[name] = [*states.get(name, []), *said]
        return Report(
            routers=len(snapshots),
            stages={name: together(said) for name, said in states.items() if said},
            **traffic(whole).model_dump(exclude_unset=True),
            model=self.name,
            **await self._trainer_status(),
            plan=self.plan.model_dump(mode="json", exclude={"description": {"classes"}}),
        )

    async def snapshot(self) -> Snapshot:
        """This replica's share of the report."""
        self._snapshots += 1
        place, samples = self._place, self._sampler.counts()
        own = {stage.name: [await lookup.state()] for stage, lookup in self._own.items()}
        return self._stats.snapshot(place.failures, place.by_way, samples, self._busy.active, own)

    async def _now(self) -> Now:
        """For metrics."""
        client, control = self._client, self._cascade.control
        wanted = client.instructions.mode == "serve" and bool(self.plan.caches)
        cut_points = self.plan.cut_points
        return Now(await self.snapshot(), cut_points, control, wanted, client.silence_s)

    async def _trainer_status(self) -> dict[str, Any]:
        now = self._cascade.control
        try:
            return await trainer_client.ask("status") | {"cache_version": now.version}
        except Unavailable as error:
            return {
                "guard": {"caches": "on" if now.on else "off", "trainer": str(error)},
                "mode": self._client.instructions.mode,
                "cache_version": now.version,
            }

    async def ask_trainer(self, method: str, *args) -> Any:
        return await trainer_client.ask(method, *args)

    async def forget_streams(self) -> None:
        await self._place.forget_streams()
        if any(stage.remembers for stage in self._own):  # other routers have such copies, too
            await self.ask_trainer("forget_streams")

    def count_error(self, status: int) -> None:
        self._stats.count_error(status)
