"""What a comparison showed: figures by system, a table for people, and a picture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from workload.client.client import ERROR, Answers
from workload.run.ratios import Ratio, of_blocks, of_turns

QUANTILES = np.linspace(0, 1, 101)


def figures(answers: Sequence[Answers], truth: Sequence[np.ndarray], compute_ms: dict) -> dict:
    """Of one system's answers in all.

    Args:
        truth: the base DNN's labels, likewise.
        compute_ms: by exit, as far as known.
    """
    exits = np.concatenate([a.exits for a in answers])
    answered = exits != ERROR
    ms = np.concatenate([a.latency_ms for a in answers])[answered]
    labels = np.concatenate([a.class_ids for a in answers])[answered]
    wrong = int((labels != np.concatenate(list(truth))[answered]).sum())
    failures = Counter(filter(None, np.concatenate([a.failures for a in answers]).tolist()))
    taken = Counter(exits[answered].tolist())
    n = len(ms)
    priced = n > 0 and compute_ms.keys() >= taken.keys()
    return {
        "answered": n,
        "errors": dict(failures),
        "wrong": wrong,
        "disagreement": wrong / n if n else None,
        "exits": {name: count / n for name, count in taken.most_common()},
        "mean_ms": float(ms.mean()) if n else None,
        "p50_ms": float(np.percentile(ms, 50)) if n else None,
        "p99_ms": float(np.percentile(ms, 99)) if n else None,
        "quantiles_ms": np.quantile(ms, QUANTILES).round(3).tolist() if n else [],
        "compute_ms": sum(compute_ms[e] * c for e, c in taken.items()) / n if priced else None,
    }


def closed(
    answers: Mapping[str, Answers],
    truth: np.ndarray,
    reference: str | None,
    compute_ms: dict,
    in_a_row: int = 1,
) -> dict:
    """Of all contenders, asked in turn.

    Args:
        compute_ms: by contender, by exit.
    """
    latency_ms = {name: _latency_ms(a) for name, a in answers.items()}
    found = {}
    for name, a in answers.items():
        found[name] = figures([a], [truth], compute_ms.get(name, {}))
        if reference:
            ratio = of_turns(latency_ms[reference], latency_ms[name], in_a_row)
            found[name]["times_faster"] = _plain(ratio)
    return found


def in_blocks(
    answers: Mapping[str, Sequence[Answers]],
    truth: Sequence[np.ndarray],
    reference: str | None,
    compute_ms: dict,
) -> dict:
    """Of all systems, asked in blocks."""
    means = {
        name: np.array([_mean(_latency_ms(a)) for a in blocks]) for name, blocks in answers.items()
    }
    found = {}
    for name, blocks in answers.items():
        found[name] = figures(blocks, truth, compute_ms.get(name, {}))
        found[name]["block_means_ms"] = [None if np.isnan(m) else float(m) for m in means[name]]
        if reference:
            found[name]["times_faster"] = _plain(of_blocks(means[reference], means[name]))
    return found


def tax(
    answers: Mapping[str, Answers], served: str, in_process: str, in_a_row: int = 1
) -> dict | None:
    """Mean latency over HTTP over the same cascade's without a server, on the same requests."""
    if served not in answers or in_process not in answers:
        return None
    served_ms, in_process_ms = (_latency_ms(answers[name]) for name in (served, in_process))
    return _plain(of_turns(served_ms, in_process_ms, in_a_row))


def _latency_ms(answers: Answers) -> np.ndarray:
    return np.where(answers.exits == ERROR, np.nan, answers.latency_ms)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _plain(ratio: Ratio | None) -> dict | None:
    return ratio and asdict(ratio)


# --- for people ----------------------------------------------------------------------------------


def describe(result: dict) -> str:
    """One Markdown table a stream, and what must be known to read it."""
    parts = [_heading(result)]
    if result.get("busy"):
        parts.append(f"**Note:** {result['busy']}.")
    for stream, found in result["streams"].items():
        parts.append(_table(stream, found, result["reference"]))
    for name, why in result["missing"].items():
        parts.append(f"Not compared: {name}: {why}")
    return "\n\n".join(parts)


def _heading(result: dict) -> str:
    machine = result["machine"]
    return (
        f"`{result['command']}` on {machine['cores']} cores of {machine['cpu']}, "
        f"{result['date']}, {result['threads']} threads for the whole base DNN."
    )


def _table(stream: str, found: dict, reference: str | None) -> str:
    counts, loops = found["counts"], ("closed", "open")
    over = f"{reference} ÷ it" if reference else "ratio"
    lines = [
        f"### {stream}",
        "",
        f"Closed loop: one client, n = {counts['requests']} requests, {counts['in_a_row']} a turn. "
        f"Open loop: Poisson, "
        f"{counts['rate_per_s']:.1f} requests/s, n = {counts['blocks']} blocks of "
        f"{counts['block_s']:.0f} s a system. Milliseconds; with 95 % intervals over turns and "
        f"blocks.",
        "",
        f"| | closed: mean / p50 / p99 | {over} | open: mean / p50 / p99 | {over} | exits | differ "
        f"| compute |" + (" requests/s |" if "saturation" in found else ""),
        "| --- |" + " --- |" * (8 if "saturation" in found else 7),
    ]
    for name in found["closed"]:
        row = [name]
        for loop in loops:
            row += _latency_cells(found[loop].get(name))
        row += _answer_cells([found[loop][name] for loop in loops if name in found[loop]])
        if "saturation" in found:
            rates = found["saturation"].get(name)
            row.append(f"{np.mean(rates):.1f}" if rates else "")
        lines.append("| " + " | ".join(row) + " |")
    if found["tax"]:
        lines += [
            "",
            f"Serving tax: gati over HTTP takes {_ratio(found['tax'])} times as long as the same "
            f"cascade in one process.",
        ]
    return "\n".join(lines)


def _latency_cells(figures: dict | None) -> list[str]:
    if not figures or figures["mean_ms"] is None:
        return ["", ""]
    ms = " / ".join(f"{figures[key]:.1f}" for key in ("mean_ms", "p50_ms", "p99_ms"))
    return [ms, _ratio(figures.get("times_faster"))]


def _answer_cells(both: list[dict]) -> list[str]:
    """Exits and compute are those of the closed loop; answers that differ count in both."""
    exits = " / ".join(f"{name} {share:.0%}" for name, share in both[0]["exits"].items())
    answered = sum(f["answered"] for f in both)
    differ = f"{sum(f['wrong'] for f in both)} of {answered}"
    if errors := sum((Counter(f["errors"]) for f in both), Counter()):
        differ += "; " + ", ".join(f"{kind}: {n}" for kind, n in errors.items())
    compute_ms = both[0]["compute_ms"]
    return [exits, differ, "" if compute_ms is None else f"{compute_ms:.1f}"]


def _ratio(ratio: dict | None) -> str:
    if ratio is None:
        return ""
    return "1" if ratio["low"] == ratio["high"] == 1 else str(Ratio(**ratio))


def draw(result: dict, file: Path) -> None:
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


def _distributions(panel, found: dict, colours: dict) -> None:
    for name, of in found.items():
        if of["quantiles_ms"]:
            panel.plot(of["quantiles_ms"], QUANTILES, color=colours[name], label=name)
    panel.set_xscale("log")
    panel.set_xlabel("ms")
    panel.set_ylabel("share answered within")
    panel.set_ylim(0, 1)
    panel.grid(alpha=0.3)


def _ratios(panel, found: dict, reference: str | None, names: list[str], colours: dict) -> None:
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
