"""The picture of a plan: what caches can answer at each depth, and what a request then costs."""

from pathlib import Path

import numpy as np

from cache_models.build.measurement import ExplorationRecord
from cache_models.build.pricing import latency_ms_by_exit, outcome_of, pricing_of
from cache_models.store.plan import Plan

GREY, BLUE, GREEN = "0.65", "tab:blue", "tab:green"
MARKERS = {"pool": "o", "fc": "s", "conv": "^", "ngram": "D"}
"""By family of predictors."""
MOST_NAMES = 6
"""Cut points that are named in the picture; more would cover each other."""


def draw(records: list[ExplorationRecord], plan: Plan, file: Path) -> None:
    """Left, hit rate by depth, a mark a cache explored; right, expected milliseconds by exit.

    Args:
        records: of the exploration that `plan` came from.
        file: PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _hit_rates(left, records, plan)
    _costs(right, plan)
    figure.savefig(file, dpi=160)


def is_chosen(record: ExplorationRecord, plan: Plan) -> bool:
    """Whether the plan deploys this cache."""
    return any(
        (cache.cut_point, cache.variant.name) == (record.cut_point, record.variant)
        for cache in plan.caches
    )


def _hit_rates(axes, records: list[ExplorationRecord], plan: Plan) -> None:
    best: dict[float, float] = {}
    for r in records:
        best[r.compute_share] = max(best.get(r.compute_share, 0.0), r.hit_rate)
    depths = sorted(best)
    axes.plot([100 * d for d in depths], [100 * best[d] for d in depths], color=GREY, zorder=1)
    for family, marker in MARKERS.items():
        mine = [r for r in records if r.variant.startswith(family)]
        if mine:
            x, y = [100 * r.compute_share for r in mine], [100 * r.hit_rate for r in mine]
            axes.scatter(x, y, marker=marker, label=f"{family} predictor", color=BLUE, alpha=0.7)
    chosen = [r for r in records if is_chosen(r, plan)]
    if chosen:
        x, y = [100 * r.compute_share for r in chosen], [100 * r.hit_rate for r in chosen]
        axes.scatter(
            x, y, s=170, facecolors="none", edgecolors=GREEN, linewidths=2, label="in the plan"
        )
    for depth in depths if len(depths) <= MOST_NAMES else ():
        name = next(r.cut_point for r in records if r.compute_share == depth)
        axes.axvline(100 * depth, color=GREY, linewidth=0.5, zorder=0)
        axes.text(100 * depth, 106, f" {name}", rotation=90, ha="right", va="bottom", size=9)
    axes.set(
        title="A cache at this depth, alone",
        xlabel="work of the base DNN done so far (%)",
        ylabel="requests that it can answer (%)",
        xlim=(-6, 106),
        ylim=(0, 140),
        yticks=range(0, 101, 20),
    )
    axes.legend()


def _costs(axes, plan: Plan) -> None:
    nothing = np.array([])
    caches = [outcome_of(plan, cache, nothing, nothing) for cache in plan.caches]
    by_exit = latency_ms_by_exit(caches, pricing_of(plan))
    expected = plan.expected
    bars = [("base DNN alone,\nevery request", expected.base_latency_ms, GREY)]
    if caches:
        shares = zip(expected.exits.items(), by_exit, strict=True)
        bars += [
            (f"exit at {exit},\n{share:.0%} of requests", paid_ms, BLUE)
            for (exit, share), paid_ms in shares
        ]
        bars.append(("with caches,\nmean", expected.latency_ms, GREEN))
    names, ms, colours = zip(*bars, strict=True)
    labels = [f"{value:.1f} ms" for value in ms]
    if caches:
        labels[-1] += f", {expected.base_latency_ms / expected.latency_ms:.1f} times less"
    axes.bar_label(axes.barh(names, ms, color=colours), labels, padding=3)
    axes.invert_yaxis()
    title = "What a request costs" if caches else "No cache is worth its cost"
    axes.set(title=title, xlabel="expected latency, hops included (ms)")
    axes.set_xlim(0, 1.25 * max(ms))
