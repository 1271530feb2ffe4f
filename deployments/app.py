"""Build the application: one deployment per partition, one per lookup, and the router with its
trainer."""

import ray
from ray import serve
from ray.serve.config import DeploymentActorConfig

from cache_models.data.datasets import cache_home
from cache_models.store.versions import Store, working_copy
from cache_models.zoo.fashion import STORE
from deployments.config import AppArgs, Compute
from deployments.follow.sampler import TRAINER
from deployments.follow.trainer import Trainer
from deployments.graph.lookup import Lookup
from deployments.graph.partition import Partition
from deployments.ingress.router import Router
from deployments.transport.zmq.key import make_key


def build(args: AppArgs) -> serve.Application:
    """The app that `serve_config.yaml` names, from the store's current plan.

    Deployments are `Router`, `Lookup0` … for the plan's caches in execution order, and `Partition0`
    … for the slices between them: one more than caches, or as many if one is at the input.

    Raises:
        ArtifactError: the store has no usable version, or its plan is for another model.
        ValueError: `overrides` names a deployment that the plan does not have, or a lookup is to be
            compiled.
    """
    store = Store(args.store)
    if args.store == "default":
        store = working_copy(Store(STORE), cache_home() / "stores")
    args = args.model_copy(update={"store": str(store.folder)})
    if args.lane.enabled:
        make_key(store.folder)
    plan = store.current().plan
    if plan.model != args.model:
        raise ValueError(
            f"args.model is {args.model!r}, but the store {store.folder} was built for "
            f"{plan.model!r}; name its model, or another store."
        )
    count = len(plan.caches)
    first = int(plan.asks_first)
    partitions = {f"Partition{i}": args.partition for i in range(count + 1 - first)}
    lookups = {f"Lookup{i}": args.lookup for i in range(count)}
    compute: dict[str, Compute] = {**partitions, **lookups}
    if unknown := args.overrides.keys() - compute.keys():
        raise ValueError(
            f"args.overrides names {sorted(unknown)}; the plan has {', '.join(compute)}."
        )
    compute.update(args.overrides)
    if refused := [name for name in lookups if compute[name].compile]:
        raise ValueError(f"{', '.join(refused)}: only partitions may have `compile: true`.")
    trainer = DeploymentActorConfig(
        name=TRAINER,
        actor_class=ray.remote(Trainer),
        init_args=(args.model_dump_json(), plan.model_dump_json()),
        actor_options={"num_cpus": 0},
    )
    return Router.options(deployment_actors=[trainer]).bind(
        args,
        plan,
        [
            Partition.options(name=name).bind(
                i, plan, compute[name], args.activation_dtype, args.lane, args.store
            )
            for i, name in enumerate(partitions, first)
        ],
        [
            Lookup.options(name=name).bind(i, plan, args.store, compute[name], args.lane)
            for i, name in enumerate(lookups)
        ],
    )
