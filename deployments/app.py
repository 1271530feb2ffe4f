"""Build the application: one deployment per partition, one per lookup, and the router with its
trainer."""

import logging

import ray
from ray import serve
from ray.serve.config import DeploymentActorConfig, RequestRouterConfig

from cache_models.data.datasets import cache_home
from cache_models.store.copies import working_copy
from cache_models.store.exporting import ensure
from cache_models.store.graphs import choose
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from deployments.config import AppArgs
from deployments.follow.control_client import TRAINER
from deployments.follow.trainer import Trainer
from deployments.graph.lookup import Lookup
from deployments.graph.partition import Partition
from deployments.ingress import streams
from deployments.ingress.router import Router
from deployments.nodes import check_seen, count_nodes, on_nodes, warn_of_price
from deployments.transport.zmq.key import make_key

logger = logging.getLogger(__name__)

BY_STREAM = RequestRouterConfig(
    request_router_class="ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
)
"""By handle, too, a stream's requests meet what a replica remembers of it."""
TRAINER_CPUS = 0.001
"""On several nodes: more than a head node has that offers none to anybody."""


def build(args: AppArgs) -> serve.Application:
    """The app that `serve_config.yaml` names, from the store's current plan.

    Deployments are `Router`, `Lookup0` … for the plan's caches in execution order, and `Partition0`
    … for the slices between them: one more than caches, or as many if one is at the input.

    Graphs that the store lacks are made here, so that replicas only load.

    Raises:
        ArtifactError: the store has no usable version, or lacks graphs, and the base DNN has other
            weights than it was built for.
        EngineError: ONNX Runtime is asked for where there is no graph.
        ModelReferenceError: graphs are to be made, and the base DNN cannot be loaded.
        ValueError: the store is one node's of several, its plan is for another model, or shares a
            memory and may not, `overrides` names a deployment that it does not have, or a lookup
            is to be compiled.
    """
    nodes = count_nodes()
    args = on_nodes(args, nodes)
    if nodes > 1:
        check_seen(args.store)
    store = Store(args.store)
    if args.store == "default":
        store = working_copy(Store(STORE), cache_home() / "stores")
    lane = args.lane.holding(2e-3 * args.lookup_timeout_ms)
    args = args.model_copy(update={"store": str(store.where), "lane": lane})
    streams.make_key(store.where)
    if args.lane.enabled:
        make_key(store.where)
    version = store.current()
    plan = version.plan
    if plan.model != args.model:
        raise ValueError(
            f"args.model is {args.model!r}, but the store {store.where} was built for "
            f"{plan.model!r}; name its model, or another store."
        )
    check_shared(args, plan)
    warn_of_price(plan.hop, nodes)
    stages = plan.stages()
    compute = {stage.name: args.compute(stage) for stage in stages}
    if unknown := args.overrides.keys() - compute.keys():
        raise ValueError(
            f"args.overrides names {sorted(unknown)}; the plan has {', '.join(compute)}."
        )
    if args.lookup.place == "router" and not any(map(args.asked_in_router, stages)):
        logger.warning("no cache of the plan can be asked in routers; see args.lookup.place")
    if refused := [s.name for s in stages if s.is_lookup and compute[s.name].engine == "compile"]:
        raise ValueError(f"{', '.join(refused)}: only partitions may have `engine: compile`.")
    for name, record in ensure(store.where, version).partitions.items():
        choose(record, compute[name].engine, "cpu")
    trainer = DeploymentActorConfig(
        name=TRAINER,
        actor_class=ray.remote(Trainer),
        init_args=(args.model_dump_json(), plan.model_dump_json()),
        actor_options={"num_cpus": 0 if nodes == 1 else TRAINER_CPUS},
    )
    graph = {}
    for stage in stages:
        more = compute[stage.name], args.lane
        if stage.is_lookup:
            routed = {"request_router_config": BY_STREAM} if stage.remembers else {}
            bound = Lookup.options(name=stage.name, **routed).bind(
                stage, plan, args.store, *more, args.streams.limits
            )
        else:
            bound = Partition.options(name=stage.name).bind(
                stage, plan, compute[stage.name], args.activation_dtype, args.lane, args.store
            )
        graph[stage.name] = bound
    return Router.options(deployment_actors=[trainer]).bind(args, plan, graph)


def check_shared(args: AppArgs, plan: Plan) -> None:
    """
    Raises:
        ValueError: a plan whose caches share one memory of all requests may not, or another is to.
    """
    if plan.shares and not args.streams.shared:
        raise ValueError(
            "the caches were built with --shared-memory, so that what was answered to one may "
            "answer another: allow it by args.streams.shared: true, or build them again without"
        )
    if args.streams.shared and plan.caches and not plan.shares:
        raise ValueError(
            "args.streams.shared is true, but the caches were not built with --shared-memory"
        )
