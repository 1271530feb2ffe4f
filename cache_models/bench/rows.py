"""How contenders did, a row each, for people and for pandas."""

import json
from collections.abc import Sequence

from pydantic import BaseModel

from cache_models.build import tables


class Row(BaseModel):
    """How one contender answered the test samples; milliseconds and MFLOP are a request's mean.

    Attributes:
        exits: share of requests by what answered.
        compute_ms: slices and lookups; `latency_ms` adds the hops of the deployments it would take.
        lookup_ms: of its dearest lookup at batch 1.
        disagreement_by_class: of the base DNN's label.
    """

    contender: str
    exits: dict[str, float]
    latency_ms: float
    compute_ms: float
    mflop: float
    memory_bytes: int
    lookup_ms: float
    disagreement: float
    disagreement_by_class: dict[str, float]


def table(rows: Sequence[Row]) -> str:
    """For a person to read, in Markdown."""
    lines = [
        "| | exits | latency ms | compute ms | MFLOP | KB | lookup ms | differ | worst class |",
        "| --- " * 9 + "|",
    ]
    for r in rows:
        worst = max(r.disagreement_by_class, key=lambda name: r.disagreement_by_class[name])
        exits = ", ".join(f"{name} {share:.1%}" for name, share in r.exits.items())
        lines.append(
            f"| {r.contender} | {exits} | {r.latency_ms:.1f} | {r.compute_ms:.1f} | {r.mflop:.0f} "
            f"| {r.memory_bytes / 1e3:.0f} | {r.lookup_ms:.2f} | {r.disagreement:.2%} "
            f"| {worst} {r.disagreement_by_class[worst]:.1%} |"
        )
    return "\n".join(lines)


def as_csv(rows: Sequence[Row]) -> str:
    """For pandas; exits and classes as JSON."""
    return tables.as_csv(rows, Row, lambda v: json.dumps(v) if isinstance(v, dict) else v)
