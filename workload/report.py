"""What a run showed: latency, exits, agreement, and compute, in all and over time."""

from collections import Counter

import numpy as np

from workload.client import Answers

WINDOW = 500


def compute_ms_by_exit(plan: dict) -> dict[str, float]:
    """Slices and lookups that a request has paid at each exit, as `/stats` describes the plan."""
    shares = {point["name"]: point["compute_share"] for point in plan["candidates"]}
    base_ms, lookups_ms, found = plan["expected"]["base_compute_ms"], 0.0, {}
    for cache in plan["caches"]:
        lookups_ms += cache["lookup_ms"]
        found[cache["cut_point"]] = shares[cache["cut_point"]] * base_ms + lookups_ms
    return found | {"base": base_ms + lookups_ms}


def summary(
    answers: Answers, base: np.ndarray, compute_ms: dict[str, float] | None, skip: int = 0
) -> dict:
    """
    Args:
        base: the base DNN's labels, `(n,)`.
        skip: so many requests at the beginning count only in `windows`.
    """
    n = len(base)
    starts = range(0, n - WINDOW + 1, WINDOW)
    return {
        "requests": n,
        "skipped": skip,
        "errors": dict(answers.errors),
        **_of(answers, base, compute_ms, slice(skip, n)),
        "by_class": {
            int(k): _of(answers, base, None, np.flatnonzero((base == k) & (np.arange(n) >= skip)))
            for k in np.unique(base[skip:])
        },
        "windows": [
            {"from": start, **_of(answers, base, compute_ms, slice(start, start + WINDOW))}
            for start in starts
        ],
    }


def _of(answers: Answers, base: np.ndarray, compute_ms: dict | None, rows) -> dict:
    given, exits = answers.class_ids[rows], answers.exits[rows]
    latency = answers.latency_ms[rows]
    answered = exits != "error"
    count = Counter(exits[answered].tolist())
    found = {
        "answered": int(answered.sum()),
        "wrong": int((given != base[rows])[answered].sum()),
        "disagreement": float((given != base[rows])[answered].mean()) if answered.any() else None,
        "exits": {name: c / max(1, answered.sum()) for name, c in count.most_common()},
        "latency_ms": {
            "mean": float(latency.mean()),
            **{f"p{p}": float(np.percentile(latency, p)) for p in (50, 90, 95, 99)},
            "max": float(latency.max()),
        },
        "versions": sorted({int(v) for v in answers.versions[rows] if v >= 0}),
    }
    if compute_ms is not None and answered.any():
        found["compute_ms"] = float(np.mean([compute_ms[e] for e in exits[answered]]))
    return found


def describe(result: dict) -> str:
    """For people."""
    ms = result["latency_ms"]
    lines = [
        f"{result['answered']} answers to the last {result['requests'] - result['skipped']} of "
        f"{result['requests']} requests; errors: {result['errors'] or 'none'}",
        f"latency ms: mean {ms['mean']:.1f}, p50 {ms['p50']:.1f}, p95 {ms['p95']:.1f}, "
        f"p99 {ms['p99']:.1f}, max {ms['max']:.1f}",
        "exits: " + ", ".join(f"{name} {share:.1%}" for name, share in result["exits"].items()),
        f"differ from the base DNN: {result['wrong']} ({result['disagreement']:.2%})",
    ]
    if "compute_ms" in result:
        lines.append(f"compute: {result['compute_ms']:.2f} ms a request (slices and lookups)")
    if result["windows"]:
        worst = max(result["windows"], key=lambda window: window["wrong"])
        lines.append(
            f"worst {WINDOW} requests: {worst['wrong']} differ (from request {worst['from']} on)"
        )
    return "\n".join(lines)


def draw(result: dict, file) -> None:
    """Over the windows: compute, exits, and wrong answers."""
    from matplotlib.figure import Figure

    windows = result["windows"]
    at = [window["from"] + WINDOW / 2 for window in windows]
    figure = Figure(figsize=(9, 7), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    top.plot(at, [window["latency_ms"]["mean"] for window in windows], label="mean latency")
    if "compute_ms" in windows[0]:
        top.plot(at, [window["compute_ms"] for window in windows], label="compute")
    top.set_ylabel("ms")
    top.set_ylim(bottom=0)
    top.legend(loc="upper left", bbox_to_anchor=(1, 1))
    names = sorted(
        {name for window in windows for name in window["exits"]}, key=lambda n: (n == "base", n)
    )
    middle.stackplot(
        at, [[w["exits"].get(name, 0) for w in windows] for name in names], labels=names
    )
    middle.set_ylabel("share of exits")
    middle.legend(loc="upper left", bbox_to_anchor=(1, 1))
    bottom.bar(at, [window["wrong"] for window in windows], width=0.8 * WINDOW)
    bottom.set_ylabel(f"wrong of {WINDOW}")
    bottom.set_xlabel("request")
    figure.savefig(file, dpi=120)
