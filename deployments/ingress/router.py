"""The ingress: a router connects the parts that read requests over HTTP and gRPC and have them
answered."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from cache_models.cascade import Answers, Cascade, Control
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import AppArgs
from deployments.follow.control_client import ControlClient
from deployments.follow.sampler import Sampler
from deployments.graph.speculation import Speculation
from deployments.graph.timeline import Timeline
from deployments.ingress import trainer_client
from deployments.ingress.answering import Answering
from deployments.ingress.endpoints import build
from deployments.ingress.errors import Unavailable
from deployments.ingress.grpc_methods import Methods
from deployments.ingress.inputs import Inputs
from deployments.ingress.readiness import Readiness
from deployments.ingress.resizing import Input
from deployments.ingress.stats import Report, Snapshot, Stats, merge, traffic
from deployments.ingress.streams import Streams
from deployments.ingress.workers import Workers
from deployments.transport.place import connect


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.1})
@serve.ingress()
class Router(Methods):
    """Composes partitions and lookups; any number of replicas may run."""

    def __init__(self, args: AppArgs, plan: Plan, graph: dict[str, DeploymentHandle]):
        """
        Args:
            graph: by stage name.
        """
        self._plan = plan
        self.name, self.limits = args.name, args.http
        self.description = plan.description
        self.workers = Workers()
        self.inputs = Inputs(plan.description, args.http, self.workers)

        stages = plan.stages()
        self._place = connect(stages, graph, args.lane, args.store, args.activation_bytes_per_value)
        speculation = Speculation(stages, args.order)
        self._cascade = Cascade(
            stages,
            len(plan.description.classes),
            self._place,
            Control(Store(args.store).serving(plan).number, on=False),
            args.lookup_timeout_ms / 1e3,
            speculation,
        )
        self._client = ControlClient(args, self._cascade, self._place)
        self._readiness = Readiness(stages, self._place.ping, self._client.asked)
        self._sampler = Sampler(args.sampling, self._cascade, self._client)
        self._stats = Stats()
        self._streams = Streams(Path(args.store))
        self._answering = Answering(
            self._cascade,
            self._sampler,
            self._stats,
            self._place.max_rows,
            args.http.timeout_s,
            speculation.busy,
        )

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve after the constructor."""
        self._client.start()
        return build(self)

    async def answer(
        self, given: Input, use_caches: bool, timeline: Timeline, stream: str
    ) -> Answers:
        hashed = self._streams.hashed(stream)
        return await self._answering.answer(given, use_caches, timeline, hashed)

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

    async def report(self) -> Report:
        """Of all router replicas."""
        context = serve.get_replica_context()
        routers = serve.get_deployment_handle(context.deployment, context.app_name)
        snapshots = await routers.broadcast("snapshot").results_async(timeout_s=5)
        return Report(
            routers=len(snapshots),
            **traffic(merge(snapshots)).model_dump(exclude_unset=True),
            model=self.name,
            **await self._trainer_status(),
            plan=self._plan.model_dump(mode="json", exclude={"description": {"classes"}}),
        )

    async def snapshot(self) -> Snapshot:
        """This replica's share of the report."""
        return self._stats.snapshot(self._place.failures, self._place.by_way)

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

    def count_error(self, status: int) -> None:
        self._stats.count_error(status)
