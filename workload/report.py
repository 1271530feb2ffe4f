"""What a run showed: latency, exits, agreement, and compute, in all and over time."""

from collections import Counter

import numpy as np

from workload.client import ERROR, Answers

WINDOW = 500
PERCENTILES = (50, 90, 95, 99)


def compute_ms_by_exit(plan: dict) -> dict[str, float]:
    """Slices and lookups that a request has paid at each exit, as `/stats` describes the plan."""
    from cache_models.composition import compute_ms_by_exit

    shares = {point["name"]: point["compute_share"] for point in plan["candidates"]}
    cut_points = [cache["cut_point"] for cache in plan["caches"]]
    paid_ms = compute_ms_by_exit(
        [shares[name] for name in cut_points],
        [cache["lookup_ms"] for cache in plan["caches"]],
        plan["expected"]["base_compute_ms"],
    )
    return dict(zip([*cut_points, "base"], paid_ms.tolist(), strict=True))


def summary(
    answers: Answers, base: np.ndarray, compute_ms: dict[str, float] | None, skip: int = 0
) -> dict:
    """All that JSON can hold; None where there is nothing to say a figure of.

    Args:
        base: the base DNN's labels, `(n,)`.
        compute_ms: by exit; None where the server has no plan.
        skip: so many requests at the beginning count only in `windows`.
    """
    n = len(base)
    counted = np.arange(n) >= skip
    windows = [
        {"from": start, **_of(answers, base, compute_ms, slice(start, start + WINDOW))}
        for start in range(0, n - WINDOW + 1, WINDOW)
    ]
    after = [window for window in windows if window["from"] >= skip]
    worst = max(after, key=lambda window: window["wrong"], default=None)
    return {
        "requests": n,
        "skipped": skip,
        **_of(answers, base, compute_ms, slice(skip, n)),
        "by_class": {
            int(k): _of(answers, base, compute_ms, np.flatnonzero((base == k) & counted))
            for k in np.unique(base[skip:])
        },
        "windows": windows,
        "worst_window": worst and {"from": worst["from"], "wrong": worst["wrong"]},
    }


def _of(answers: Answers, base: np.ndarray, compute_ms: dict | None, rows) -> dict:
    """Of the answers to some requests; those that failed count under `errors` alone."""
    answered = answers.exits[rows] != ERROR
    exits = answers.exits[rows][answered]
    wrong = (answers.class_ids[rows] != base[rows])[answered]
    count = Counter(exits.tolist())
    priced = compute_ms is not None and compute_ms.keys() >= count.keys()
    return {
        "answered": len(exits),
        "errors": dict(Counter(filter(None, answers.failures[rows].tolist()))),
        "wrong": int(wrong.sum()),
        "disagreement": _mean(wrong),
        "hit_rate": _mean(exits != "base"),
        "exits": {name: c / len(exits) for name, c in count.most_common()},
        "latency_ms": _latency(answers.latency_ms[rows][answered]),
        "server_latency_ms": _latency(answers.server_ms[rows][answered]),
        "compute_ms": _mean(np.array([compute_ms[e] for e in exits])) if priced else None,
        "versions": sorted({int(v) for v in answers.versions[rows] if v >= 0}),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _latency(ms: np.ndarray) -> dict[str, float] | None:
    ms = ms[np.isfinite(ms)]
    if not len(ms):
        return None
    percentiles = {f"p{p}": float(np.percentile(ms, p)) for p in PERCENTILES}
    return {"mean": float(ms.mean()), **percentiles, "max": float(ms.max())}


def describe(result: dict) -> str:
    """For people."""
    counted = result["requests"] - result["skipped"]
    lines = [
        f"{result['answered']} answers to the last {counted} of {result['requests']} requests; "
        f"errors: {result['errors'] or 'none'}"
    ]
    if not result["answered"]:
        return lines[0]
    ms = result["latency_ms"]
    lines += [
        f"latency ms: mean {ms['mean']:.1f}, p50 {ms['p50']:.1f}, p95 {ms['p95']:.1f}, "
        f"p99 {ms['p99']:.1f}, max {ms['max']:.1f}",
        "exits: " + ", ".join(f"{name} {share:.1%}" for name, share in result["exits"].items()),
        f"differ from the base DNN: {result['wrong']} ({result['disagreement']:.2%})",
    ]
    if result["compute_ms"] is not None:
        lines.append(f"compute: {result['compute_ms']:.2f} ms a request (slices and lookups)")
    if worst := result["worst_window"]:
        lines.append(
            f"worst {WINDOW} requests: {worst['wrong']} differ (from request {worst['from']} on)"
        )
    return "\n".join(lines)
