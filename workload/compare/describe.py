"""A comparison's result in words: one Markdown table a stream."""

from collections import Counter
from typing import Any

import numpy as np

from workload.compare.tools.loadgen import OFFLINE, SERVER, SINGLE_STREAM
from workload.compare.tools.wrk import WRK
from workload.run.ratios import Ratio


def describe(result: dict[str, Any]) -> str:
    """For people."""
    parts = [_heading(result)]
    if result.get("busy"):
        parts.append(f"**Note:** {result['busy']}.")
    for stream, found in result["streams"].items():
        parts.append(_table(stream, found, result["reference"]))
    if "tools" in result:
        parts.append(_by_tools(result["tools"], result["reference"]))
    for name, why in result["missing"].items():
        parts.append(f"Not compared: {name}: {why}")
    return "\n\n".join(parts)


def _heading(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"`{result['command']}` on {machine['cores']} cores of {machine['cpu']}, "
        f"{result['date']}, {result['threads']} threads for the whole base DNN."
    )


def _table(stream: str, found: dict[str, Any], reference: str | None) -> str:
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


def _by_tools(found: dict[str, Any], reference: str) -> str:
    scenarios, counts = found["scenarios"], found["queries"]
    how = {
        SINGLE_STREAM: f"{counts[SINGLE_STREAM]} queries",
        SERVER: f"{counts[SERVER]} queries, {found['rate_per_s']:.1f} a second",
        OFFLINE: f"{counts[OFFLINE]} queries",
        WRK: f"{found['wrk_s']:.0f} s",
    }
    what = ", ".join(f"{scenario} {how[scenario]}" for scenario in scenarios)
    lines = [
        "### Measured with LoadGen" + " and wrk" * (WRK in scenarios),
        "",
        f"In {found['rounds']} rounds: {what}. Before or after each this project's client asked "
        f"the same at the same times. Medians of the rounds, in milliseconds or answers a second; "
        f"*differs* is how much longer a request took by the tool than by the client, on the "
        f"average, and from the least to the most in a round. No MLPerf result.",
        "",
        "| |"
        + "".join(
            f" {s}: {'mean / p50 / p99' if s in (SINGLE_STREAM, SERVER) else 'a second'} |"
            f" {reference} ÷ it | client | differs |"
            for s in scenarios
        ),
        "| --- |" + " --- |" * (4 * len(scenarios)),
    ]
    for name in next(iter(scenarios.values())):
        row = [name]
        for systems in scenarios.values():
            of, reference_ms = systems[name], _means(systems[reference], "tool")
            row += [
                _medians(of["tool"]),
                f"{np.median(reference_ms) / np.median(_means(of, 'tool')):.2f}",
                _medians(of["client"]),
                _difference(_means(of, "tool"), _means(of, "client")),
            ]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _means(of: dict[str, list[dict[str, Any]]], who: str) -> np.ndarray:
    """Milliseconds of a request, of each round."""
    return np.array([f["mean_ms"] if "mean_ms" in f else 1e3 / f["per_s"] for f in of[who]])


def _medians(rounds: list[dict[str, Any]]) -> str:
    values = [
        np.median([figures[key] for figures in rounds])
        for key in ("mean_ms", "p50_ms", "p99_ms", "per_s")
        if key in rounds[0]
    ]
    failures = sum((Counter(figures["failures"]) for figures in rounds), Counter())
    return " / ".join(f"{value:.1f}" for value in values) + "".join(
        f"; {kind}: {n}" for kind, n in failures.items()
    )


def _difference(by_tool: np.ndarray, by_client: np.ndarray) -> str:
    each = by_tool / by_client - 1
    difference = np.median(by_tool) / np.median(by_client) - 1
    return f"{difference:+.0%} ({each.min():+.0%} to {each.max():+.0%})"


def _latency_cells(figures: dict[str, Any] | None) -> list[str]:
    if not figures or figures["mean_ms"] is None:
        return ["", ""]
    ms = " / ".join(f"{figures[key]:.1f}" for key in ("mean_ms", "p50_ms", "p99_ms"))
    return [ms, _ratio(figures.get("times_faster"))]


def _answer_cells(both: list[dict[str, Any]]) -> list[str]:
    """Exits and compute are those of the closed loop; answers that differ count in both."""
    exits = " / ".join(f"{name} {share:.0%}" for name, share in both[0]["exits"].items())
    answered = sum(f["answered"] for f in both)
    differ = f"{sum(f['wrong'] for f in both)} of {answered}"
    if errors := sum((Counter(f["errors"]) for f in both), Counter()):
        differ += "; " + ", ".join(f"{kind}: {n}" for kind, n in errors.items())
    compute_ms = both[0]["compute_ms"]
    return [exits, differ, "" if compute_ms is None else f"{compute_ms:.1f}"]


def _ratio(ratio: dict[str, Any] | None) -> str:
    if ratio is None:
        return ""
    return "1" if ratio["low"] == ratio["high"] == 1 else str(Ratio(**ratio))
