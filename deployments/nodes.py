"""What must hold where an application runs on several nodes: all of them see one store, and reach
each other's replicas. What can be corrected is, with a warning; the rest is refused.
"""

import ipaddress
import logging
import secrets
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cache_models.errors import ArtifactError
from cache_models.store.plan import HopCost
from cache_models.store.remote import Remote, is_url
from deployments.config import AppArgs
from deployments.transport.endpoint import NODE

SEEN_S = 60.0
"""After which a node has not said whether it sees the store."""

logger = logging.getLogger(__name__)


def count_nodes() -> int:
    """Of the cluster; 1 where there is none. A head node without processors counts as two: replicas
    will run on others, which may not have come yet."""
    alive = _alive()
    return len(alive) + (bool(alive) and not any(n["Resources"].get("CPU") for n in alive)) or 1


def on_nodes(args: AppArgs, nodes: int) -> AppArgs:
    """The arguments as they can be served on so many nodes.

    Raises:
        ValueError: the store would be another on every node.
    """
    if nodes < 2:
        return args
    if args.store == "default":
        raise ValueError(
            f"args.store is 'default', a folder of one node, and there are {nodes}: copy it to a "
            f"folder that all nodes share, or to a URL such as s3://bucket/store, and name that"
        )
    changes: dict[str, Any] = {}
    if not is_url(args.store):
        changes["store"] = f"file://{args.store}"
        logger.warning(
            "args.store is the folder %s, and there are %s nodes: taken as %s, of which every node "
            "keeps a copy, and the trainer's node its file",
            args.store,
            nodes,
            changes["store"],
        )
    if args.lane.enabled and is_one_nodes(args.lane.host):
        changes["lane"] = args.lane.model_copy(update={"host": NODE})
        logger.warning(
            "lane.host is %s, where no other of the %s nodes can reach it: 'node' is used",
            args.lane.host,
            nodes,
        )
    return args.model_copy(update=changes)


def warn_of_price(hop: HopCost, nodes: int) -> None:
    """Where a plan reckons with calls within one machine, and they go between several."""
    if nodes > 1 and hop.fixed_ms <= HopCost().fixed_ms:
        logger.warning(
            "the plan reckons with %s ms a call, as within one machine, and there are %s nodes: "
            "what it expects is too good; build with --hop, and what a call costs between them",
            hop.fixed_ms,
            nodes,
        )


def is_one_nodes(host: str) -> bool:
    """Whether an address leads nowhere, or elsewhere, on other nodes."""
    if host == NODE:
        return False
    address = ipaddress.ip_address(host.strip("[]"))
    return address.is_loopback or address.is_unspecified


def check_seen(store: str) -> None:
    """Have every node look for what is written to the store now.

    Args:
        store: its URL.

    Raises:
        ValueError: one does not see it; names the node, and why.
        ArtifactError: this one cannot write there.
    """
    remote, name = Remote(store), f".seen-{secrets.token_hex(8)}"
    remote.write(name, b"")
    try:
        for node, why in _asked(store, name):
            raise ValueError(
                f"args.store is {store}, which the node {node} does not see: {why}. Name a store "
                f"that all nodes can reach."
            )
    finally:
        remote.remove(name)


def _asked(store: str, name: str) -> Iterator[tuple[str, str]]:
    """Nodes that do not see it, and why not."""
    asked = {}
    for node in _alive():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        look = ray.remote(why_unseen).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[node["NodeManagerAddress"], node["NodeID"]] = look.remote(store, name)
    for (address, _), told in asked.items():
        try:
            why = ray.get(told, timeout=SEEN_S)
        except GetTimeoutError:
            why = f"it has not answered within {SEEN_S:.0f} s"
        except RayError as error:
            why = f"{error}"
        if why is not None:
            yield address, why


def why_unseen(store: str, name: str) -> str | None:
    """Why this node does not see what is in the store; None if it does."""
    try:
        Remote(store).read(name)
    except FileNotFoundError:
        return "another folder of that name is there, or none"
    except ArtifactError as error:
        return str(error)
    return None


def _alive() -> list[dict]:
    return [node for node in ray.nodes() if node["Alive"]] if ray.is_initialized() else []
