"""What a run showed: latency, exits, agreement, accuracy and compute, in all and over time."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from cache_models.network.stages import BASE
from workload.client.answers import ERROR, Answers
from workload.run.compute import compute_ms_by_exit

WINDOW = 500
"""Requests in one of `windows`."""
PERCENTILES = (50, 90, 95, 99)
MAX_LATENCY_US = 3_600_000_000
Rows = np.ndarray | slice
"""Which requests, by index."""
UNKNOWN = -1
"""In place of a label that nobody knows."""


def summary(
    answers: Answers,
    base: np.ndarray,
    compute_ms: Mapping[str, float] | None,
    skip: int = 0,
    labels: np.ndarray | None = None,
    window_s: float = 10.0,
) -> dict[str, Any]:
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

    def of(rows: Rows) -> dict[str, Any]:
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
    exits: np.ndarray, class_ids: np.ndarray, base: np.ndarray, plan: dict[str, Any], skip: int
) -> dict[str, Any]:
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
        "hit_rate": _mean(exits != BASE),
        "exits": {name: c / len(exits) for name, c in count.most_common()},
        "compute_ms": _mean(np.array([compute_ms[e] for e in exits])),
        "wrong_by_window": [
            int(wrong[start : start + WINDOW].sum())
            for start in range(0, len(wrong) - WINDOW + 1, WINDOW)
        ],
    }


def _time_windows(
    answers: Answers, of: Callable[[Rows], dict[str, Any]], window_s: float
) -> list[dict[str, Any]]:
    due_s = answers.due_s
    if not np.isfinite(due_s).any():
        return []
    which = np.where(np.isfinite(due_s), due_s, -1) // window_s
    return [
        {"from_s": i * window_s, "to_s": (i + 1) * window_s, **of(np.flatnonzero(which == i))}
        for i in range(int(which.max()) + 1)
    ]


def _of(
    answers: Answers,
    base: np.ndarray,
    labels: np.ndarray,
    compute_ms: Mapping[str, float] | None,
    rows: Rows,
) -> dict[str, Any]:
    """Of the answers to some requests; those that failed count under `errors` alone."""
    answered = answers.exits[rows] != ERROR
    exits = answers.exits[rows][answered]
    given = answers.class_ids[rows][answered]
    truth, label = base[rows][answered], labels[rows][answered]
    wrong = (given != truth)[truth != UNKNOWN]
    count = Counter(exits.tolist())
    paid_ms = None
    if compute_ms is not None and compute_ms.keys() >= count.keys():
        paid_ms = np.array([compute_ms[e] for e in exits])
    return {
        "answered": len(exits),
        "throughput_per_s": _throughput(answers, rows),
        "errors": dict(Counter(filter(None, answers.failures[rows].tolist()))),
        "judged": len(wrong),
        "wrong": int(wrong.sum()),
        "disagreement": _mean(wrong),
        "accuracy": _mean((given == label)[label != UNKNOWN]),
        "base_accuracy": _mean((truth == label)[(label != UNKNOWN) & (truth != UNKNOWN)]),
        "hit_rate": _mean(exits != BASE),
        "exits": {name: c / len(exits) for name, c in count.most_common()},
        "latency_ms": _latency(answers.latency_ms[rows][answered]),
        "server_latency_ms": _latency(answers.server_ms[rows][answered]),
        "compute_ms": None if paid_ms is None else _mean(paid_ms),
        "versions": sorted({int(v) for v in answers.versions[rows] if v >= 0}),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _throughput(answers: Answers, rows: Rows) -> float | None:
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
