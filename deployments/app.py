"""Build the application: one deployment per partition, one per lookup, and the router with its
trainer."""

import ray
from ray import serve
from ray.serve.config import DeploymentActorConfig

from cache_models.data.datasets import cache_home
from cache_models.store.copies import working_copy
from cache_models.store.exporting import ensure
from cache_models.store.graphs import choose
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from deployments.config import AppArgs
from deployments.follow.control_client import TRAINER
from deployments.follow.trainer import Trainer
from deployments.graph.lookup import Lookup
from deployments.graph.partition import Partition
from deployments.ingress import streams
from deployments.ingress.router import Router
from deployments.transport.zmq.key import make_key


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
        ValueError: the store's plan is for another model, `overrides` names a deployment that it
            does not have, or a lookup is to be compiled.
    """
    store = Store(args.store)
    if args.store == "default":
        store = working_copy(Store(STORE), cache_home() / "stores")
    args = args.model_copy(update={"store": str(store.folder)})
    streams.make_key(store.folder)
    if args.lane.enabled:
        make_key(store.folder)
    version = store.current()
    plan = version.plan
    if plan.model != args.model:
        raise ValueError(
            f"args.model is {args.model!r}, but the store {store.folder} was built for "
            f"{plan.model!r}; name its model, or another store."
        )
    stages = plan.stages()
    compute = {s.name: args.lookup if s.is_lookup else args.partition for s in stages}
    if unknown := args.overrides.keys() - compute.keys():
        raise ValueError(
            f"args.overrides names {sorted(unknown)}; the plan has {', '.join(compute)}."
        )
    compute |= args.overrides
    if refused := [s.name for s in stages if s.is_lookup and compute[s.name].engine == "compile"]:
        raise ValueError(f"{', '.join(refused)}: only partitions may have `engine: compile`.")
    for name, record in ensure(store.folder, version).partitions.items():
        choose(record, compute[name].engine, "cpu")
    trainer = DeploymentActorConfig(
        name=TRAINER,
        actor_class=ray.remote(Trainer),
        init_args=(args.model_dump_json(), plan.model_dump_json()),
        actor_options={"num_cpus": 0},
    )
    graph = {}
    for stage in stages:
        more = compute[stage.name], args.lane
        if stage.is_lookup:
            bound = Lookup.options(name=stage.name).bind(stage, plan, args.store, *more)
        else:
            bound = Partition.options(name=stage.name).bind(
                stage, plan, compute[stage.name], args.activation_dtype, args.lane, args.store
            )
        graph[stage.name] = bound
    return Router.options(deployment_actors=[trainer]).bind(args, plan, graph)
