"""A run's result in words."""

from typing import Any

from workload.run.report import WINDOW

MOSTLY_ON_TIME_MS = 5.0
"""A client that is later than this, and than a tenth of the latency, measures itself."""


def describe(result: dict[str, Any]) -> str:
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


def _exits(result: dict[str, Any]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in result["exits"].items())
