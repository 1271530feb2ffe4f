"""A comparison's picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workload.compare.report import QUANTILES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(result: dict[str, Any], file: Path) -> None:
    """A row a stream: the distribution of latency, and how many times faster than the reference."""
    from matplotlib.figure import Figure

    streams = result["streams"]
    height = 1.5 + 4.2 * len(streams)
    figure = Figure(figsize=(14, height), layout="constrained")
    panels = figure.subplots(len(streams), 3, squeeze=False, width_ratios=(1, 1, 1))
    names = list(dict.fromkeys(n for found in streams.values() for n in found["closed"]))
    colours = {name: f"C{i}" for i, name in enumerate(names)}
    for row, (stream, found) in zip(panels, streams.items(), strict=True):
        for panel, loop in zip(row, ("closed", "open"), strict=False):
            _distributions(panel, found[loop], colours)
            panel.set_title(f"{stream}\n{loop} loop")
        _ratios(row[2], found, result["reference"], names, colours)
    row[0].figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5
    )
    figure.savefig(file, dpi=110)


def _distributions(panel: "Axes", found: dict[str, Any], colours: dict[str, str]) -> None:
    for name, of in found.items():
        if of["quantiles_ms"]:
            panel.plot(of["quantiles_ms"], QUANTILES, color=colours[name], label=name)
    panel.set_xscale("log")
    panel.set_xlabel("ms")
    panel.set_ylabel("share answered within")
    panel.set_ylim(0, 1)
    panel.grid(alpha=0.3)


def _ratios(
    panel: "Axes",
    found: dict[str, Any],
    reference: str | None,
    names: list[str],
    colours: dict[str, str],
) -> None:
    from matplotlib.ticker import LogLocator

    for shift, loop, mark in ((-0.15, "closed", "o"), (0.15, "open", "s")):
        panel.plot([], [], mark, color="grey", label=f"{loop} loop")
        for place, name in enumerate(names):
            ratio = found[loop].get(name, {}).get("times_faster")
            if not ratio:
                continue
            value, low, high = ratio["value"], ratio["low"], ratio["high"]
            bars = None if low is None else [[value - low], [high - value]]
            panel.errorbar(
                value, place + shift, xerr=bars, fmt=mark, color=colours[name], capsize=3
            )
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.set_xscale("log")
    for axis_ticks in (panel.xaxis.set_major_formatter, panel.xaxis.set_minor_formatter):
        axis_ticks("{x:g}")
    panel.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    panel.set_xlabel(f"times faster than {reference}, mean latency, 95 % interval")
    panel.grid(alpha=0.3, axis="x")
    panel.legend(loc="best")
