"""A picture of a run: how latency is distributed, and over time latency, exits and agreement."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache_models.network.stages import BASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(result: dict[str, Any], file: Path) -> None:
    """
    Args:
        result: what `report.summary` made; panels of which there is nothing to say stay empty.
    """
    from matplotlib.figure import Figure

    windows = result["time_windows"]
    at_s = np.array([(window["from_s"] + window["to_s"]) / 2 for window in windows], float)
    figure = Figure(figsize=(10, 10), layout="constrained")
    distribution, latency, exits, agreement = figure.subplots(4, 1)
    for axes in (latency, exits):
        axes.sharex(agreement)
    _distribution(distribution, result["latency_histogram"])
    _latency(latency, at_s, windows)
    _exits(exits, at_s, windows)
    if windows:
        share = np.array([window["disagreement"] for window in windows], float)
        agreement.plot(at_s, 100 * (1 - share), marker=".")
        worst = max(share[np.isfinite(share)], default=0)
        agreement.set_ylim(bottom=100 * (1 - max(1.2 * worst, 0.02)))
        agreement.grid(axis="y", alpha=0.3)
    agreement.set_ylabel("agreement, %")
    agreement.set_xlabel("seconds from the start")
    figure.savefig(file, dpi=120)


def _distribution(axes: "Axes", encoded: str | None) -> None:
    """Latency by percentile, whose axis stretches towards the tail, as HDR histograms are shown."""
    axes.set_xlabel("percentile of requests")
    axes.set_ylabel("latency, ms")
    if encoded is None:
        return
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram.decode(encoded)
    total = histogram.get_total_count()
    shares = 1 - np.geomspace(1, 1 / total, 200)
    ms = [histogram.get_value_at_percentile(100 * share) / 1e3 for share in shares]
    axes.plot(1 / (1 - shares), ms)
    axes.set_xscale("log")
    axes.set_yscale("log")
    marks = [p for p in (0, 50, 90, 99, 99.9, 99.99) if 100 / (100 - p) <= total]
    axes.set_xticks([100 / (100 - p) for p in marks], [f"{p:g}" for p in marks])
    axes.minorticks_off()
    ticks = [t for e in range(-2, 7) for t in (10.0**e, 2 * 10.0**e, 5 * 10.0**e)]
    shown = [t for t in ticks if 0.5 * min(ms) <= t <= 2 * max(ms)]
    axes.set_yticks(shown, [f"{t:g}" for t in shown])
    axes.grid(alpha=0.3)


def _latency(axes: "Axes", at_s: np.ndarray, windows: list[dict[str, Any]]) -> None:
    for name in ("p50", "mean", "p99"):
        ms = np.array([(window["latency_ms"] or {}).get(name) for window in windows], float)
        axes.plot(at_s, ms, label=f"{name} latency", marker=".")
    compute_ms = np.array([window["compute_ms"] for window in windows], float)
    if np.isfinite(compute_ms).any():
        axes.plot(at_s, compute_ms, label="mean compute", marker=".")
    axes.set_ylabel("ms")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _exits(axes: "Axes", at_s: np.ndarray, windows: list[dict[str, Any]]) -> None:
    names = sorted({n for window in windows for n in window["exits"]}, key=lambda n: (n == BASE, n))
    if names:
        shares = [[window["exits"].get(name, 0) for window in windows] for name in names]
        axes.stackplot(at_s, shares, labels=names)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_ylabel("share of exits")
    axes.set_ylim(0, 1)
