"""What a run showed: latency, exits, agreement, accuracy and compute, in all and over time."""

from collections import Counter

import numpy as np
from hdrh.histogram import HdrHistogram

from workload.client.answers import ERROR, Answers

WINDOW = 500
"""Requests in one of `windows`."""
PERCENTILES = (50, 90, 95, 99)
MOSTLY_ON_TIME_MS = 5.0
MAX_LATENCY_US = 3_600_000_000
UNKNOWN = -1
"""In place of a label that nobody knows."""


def compute_ms_by_exit(plan: dict) -> dict[str, float]:
    """Slices and lookups that a request has paid at each exit, as `/stats` describes the plan."""
    from cache_models.build.pricing import compute_ms_by_exit

    shares = {point["name"]: point["compute_share"] for point in plan["candidates"]}
    cut_points = [cache["cut_point"] for cache in plan["caches"]]
    paid_ms = compute_ms_by_exit(
        [shares[name] for name in cut_points],
        [cache["lookup_ms"] for cache in plan["caches"]],
        plan["expected"]["base_compute_ms"],
    )
    return dict(zip([*cut_points, "base"], paid_ms.tolist(), strict=True))


def summary(
    answers: Answers,
    base: np.ndarray,
    compute_ms: dict[str, float] | None,
    skip: int = 0,
    labels: np.ndarray | None = None,
    window_s: float = 10.0,
) -> dict:
    """All that JSON can hold; None where there is nothing to say a figure of.

    Args:
        base: the base DNN's labels, `(n,)`; `UNKNOWN` where they are not, which leaves the request
            out of `judged`, `wrong` and `disagreement`.
        compute_ms: by exit; None where the server has no plan.
        skip: so many requests at the beginning count only in `windows` and `time_windows`.
        labels: the true ones, `(n,)`; `UNKNOWN` where they are not.
        window_s: length of one of `time_windows`, by when requests were due.
    """
    n = len(base)
    labels = np.full(n, UNKNOWN) if labels is None else labels

    def of(rows) -> dict:
        return _of(answers, base, labels, compute_ms, rows)

    counted = np.arange(n) >= skip
    windows = [
        {"from": start, **of(slice(start, start + WINDOW))}
        for start in range(0, n - WINDOW + 1, WINDOW)
    ]
    after = [window for window in windows if window["from"] >= skip]
    worst = max(after, key=lambda window: window["wrong"], default=None)
    total = np.arange(n)[counted]
    latencies = answers.latency_ms[total][answers.exits[total] != ERROR]
    return {
        "requests": n,
        "skipped": skip,
        **of(total),
        "client_late_ms": _latency(answers.client_late_ms[total]),
        "latency_histogram": _histogram(latencies).encode().decode() if len(latencies) else None,
        "by_class": {
            int(k): of(np.flatnonzero((base == k) & counted))
            for k in np.unique(base[skip:])
            if k != UNKNOWN
        },
        "windows": windows,
        "time_windows": _time_windows(answers, of, window_s),
        "worst_window": worst and {"from": worst["from"], "wrong": worst["wrong"]},
    }


def static_summary(
    exits: np.ndarray, class_ids: np.ndarray, base: np.ndarray, plan: dict, skip: int
) -> dict:
    """What unchanging caches would have answered to the same pictures, without a server.

    Args:
        exits, class_ids, base: `(n,)`.
        plan: theirs, as JSON.
    """
    exits, wrong = exits[skip:], (class_ids != base)[skip:]
    compute_ms = compute_ms_by_exit(plan)
    count = Counter(exits.tolist())
    return {
        "wrong": int(wrong.sum()),
        "disagreement": _mean(wrong),
        "hit_rate": _mean(exits != "base"),
        "exits": {name: c / len(exits) for name, c in count.most_common()},
        "compute_ms": _mean(np.array([compute_ms[e] for e in exits])),
        "wrong_by_window": [
            int(wrong[start : start + WINDOW].sum())
            for start in range(0, len(wrong) - WINDOW + 1, WINDOW)
        ],
    }


def _time_windows(answers: Answers, of, window_s: float) -> list[dict]:
    due_s = answers.due_s
    if not np.isfinite(due_s).any():
        return []
    which = np.where(np.isfinite(due_s), due_s, -1) // window_s
    return [
        {"from_s": i * window_s, "to_s": (i + 1) * window_s, **of(np.flatnonzero(which == i))}
        for i in range(int(which.max()) + 1)
    ]


def _of(answers: Answers, base, labels, compute_ms: dict | None, rows) -> dict:
    """Of the answers to some requests; those that failed count under `errors` alone."""
    answered = answers.exits[rows] != ERROR
    exits = answers.exits[rows][answered]
    given = answers.class_ids[rows][answered]
    truth, label = base[rows][answered], labels[rows][answered]
    wrong = (given != truth)[truth != UNKNOWN]
    count = Counter(exits.tolist())
    priced = compute_ms is not None and compute_ms.keys() >= count.keys()
    return {
        "answered": len(exits),
        "throughput_per_s": _throughput(answers, rows),
        "errors": dict(Counter(filter(None, answers.failures[rows].tolist()))),
        "judged": len(wrong),
        "wrong": int(wrong.sum()),
        "disagreement": _mean(wrong),
        "accuracy": _mean((given == label)[label != UNKNOWN]),
        "base_accuracy": _mean((truth == label)[(label != UNKNOWN) & (truth != UNKNOWN)]),
        "hit_rate": _mean(exits != "base"),
        "exits": {name: c / len(exits) for name, c in count.most_common()},
        "latency_ms": _latency(answers.latency_ms[rows][answered]),
        "server_latency_ms": _latency(answers.server_ms[rows][answered]),
        "compute_ms": _mean(np.array([compute_ms[e] for e in exits])) if priced else None,
        "versions": sorted({int(v) for v in answers.versions[rows] if v >= 0}),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _throughput(answers: Answers, rows) -> float | None:
    """Answers a second, from when the first of these was due to the last one's answer."""
    due_s, answered = answers.due_s[rows], answers.exits[rows] != ERROR
    ends_s = (due_s + answers.latency_ms[rows] / 1e3)[answered & np.isfinite(due_s)]
    if not len(ends_s) or not ends_s.max() > np.nanmin(due_s):
        return None
    return float(len(ends_s) / (ends_s.max() - np.nanmin(due_s)))


def _histogram(ms: np.ndarray) -> HdrHistogram:
    """Of latencies, in microseconds to three digits."""
    histogram = HdrHistogram(1, MAX_LATENCY_US, 3)
    values, counts = np.unique(np.maximum(1, (ms * 1e3).astype(np.int64)), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(min(value, MAX_LATENCY_US), count)
    return histogram


def _latency(ms: np.ndarray) -> dict[str, float] | None:
    ms = ms[np.isfinite(ms)]
    if not len(ms):
        return None
    histogram = _histogram(ms)
    percentiles = {
        f"p{p}": min(histogram.get_value_at_percentile(p) / 1e3, float(ms.max()))
        for p in PERCENTILES
    }
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
    lines.append(
        f"latency ms: mean {ms['mean']:.1f}, p50 {ms['p50']:.1f}, p90 {ms['p90']:.1f}, "
        f"p95 {ms['p95']:.1f}, p99 {ms['p99']:.1f}, max {ms['max']:.1f}"
    )
    late = result["client_late_ms"]
    if late and late["p99"] > max(MOSTLY_ON_TIME_MS, 0.1 * ms["p50"]):
        lines.append(
            f"of which the client's own: p50 {late['p50']:.1f}, p99 {late['p99']:.1f}; it cannot "
            f"send as fast as it should, so this says little of the server"
        )
    if result["throughput_per_s"] is not None:
        lines.append(f"throughput: {result['throughput_per_s']:.1f} answers/s")
    lines.append(f"hit rate {result['hit_rate']:.1%}; exits: {_exits(result)}")
    if result["judged"]:
        of = "" if result["judged"] == result["answered"] else f" of {result['judged']} judged"
        lines.append(
            f"differ from the base DNN: {result['wrong']}{of} ({result['disagreement']:.2%})"
        )
        k, worst = max(result["by_class"].items(), key=lambda item: item[1]["disagreement"] or 0)
        if worst["wrong"]:
            lines.append(
                f"worst class {k}: {worst['wrong']} of {worst['judged']} differ "
                f"({worst['disagreement']:.2%})"
            )
    if result["accuracy"] is not None:
        beside = result["base_accuracy"]
        base = "" if beside is None else f"; the base DNN's: {beside:.2%}"
        lines.append(f"right by the true labels: {result['accuracy']:.2%}{base}")
    if result["compute_ms"] is not None:
        lines.append(f"compute: {result['compute_ms']:.2f} ms a request (slices and lookups)")
    if result["judged"] and (worst := result["worst_window"]):
        lines.append(
            f"worst {WINDOW} requests: {worst['wrong']} differ (from request {worst['from']} on)"
        )
    if static := result.get("static"):
        lines.append(
            f"static caches, offline: compute {static['compute_ms']:.2f} ms a request, "
            f"{static['wrong']} differ ({static['disagreement']:.2%}), hit rate "
            f"{static['hit_rate']:.1%}; exits: {_exits(static)}"
        )
    return "\n".join(lines)


def _exits(result: dict) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in result["exits"].items())
