"""What a request has paid of compute at each exit: slices and lookups, without hops."""

from collections.abc import Mapping
from typing import Any

from cache_models.build import pricing
from cache_models.network.stages import BASE


def compute_ms_by_exit(plan: Mapping[str, Any], lookups: bool = True) -> dict[str, float]:
    """
    Args:
        plan: as JSON, as `/stats` has it.
        lookups: whether they cost anything; an oracle's do not.
    """
    shares = {point["name"]: point["compute_share"] for point in plan["candidates"]}
    caches = plan["caches"]
    names = [cache["cut_point"] for cache in caches]
    paid_ms = pricing.compute_ms_by_exit(
        [shares[name] for name in names],
        [cache["lookup_ms"] if lookups else 0.0 for cache in caches],
        plan["expected"]["base_compute_ms"],
    )
    return dict(zip([*names, BASE], paid_ms.tolist(), strict=True))
