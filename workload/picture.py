"""A picture of a run, window by window: latency and compute, exits, and wrong answers."""

from pathlib import Path

import numpy as np

from workload.report import WINDOW


def draw(result: dict, file: Path) -> None:
    """
    Args:
        result: what `report.summary` made; with less than one window the picture is empty.
    """
    from matplotlib.figure import Figure

    windows = result["windows"]
    at = [window["from"] + WINDOW / 2 for window in windows]
    figure = Figure(figsize=(9, 7), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    latency_ms = [(window["latency_ms"] or {}).get("mean") for window in windows]
    top.plot(at, np.array(latency_ms, float), label="mean latency")
    compute_ms = np.array([window["compute_ms"] for window in windows], float)
    if np.isfinite(compute_ms).any():
        top.plot(at, compute_ms, label="compute")
    top.set_ylabel("ms")
    top.set_ylim(bottom=0)
    top.legend(loc="upper left", bbox_to_anchor=(1, 1))
    names = sorted(
        {name for window in windows for name in window["exits"]}, key=lambda n: (n == "base", n)
    )
    if names:
        shares = [[window["exits"].get(name, 0) for window in windows] for name in names]
        middle.stackplot(at, shares, labels=names)
        middle.legend(loc="upper left", bbox_to_anchor=(1, 1))
    middle.set_ylabel("share of exits")
    bottom.bar(at, [window["wrong"] for window in windows], width=0.8 * WINDOW)
    bottom.set_ylabel(f"wrong of {WINDOW}")
    bottom.set_xlabel("request")
    figure.savefig(file, dpi=120)
