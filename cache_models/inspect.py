"""Tables for people: a model's cut points, and a plan."""

import numpy as np

from cache_models.build import survey
from cache_models.cost import BATCHES, slice_costs
from cache_models.cutting import CutModel
from cache_models.plan import Plan


def describe_cut_points(model: CutModel, device: str, plan: Plan | None = None) -> str:
    """One line a cut point: share of compute, milliseconds of its slice, bytes, caches."""
    names = [point.name for point in model.cut_points]
    costs = slice_costs(model, names, device)
    candidates = {point.name for point in survey(model, device)}
    total = sum(cost[1] for cost in costs)
    reached = np.cumsum([cost[1] for cost in costs]) / total
    cached = set(plan.cut_points) if plan else set()
    width = max(len(name) for name in names)
    lines = [
        f"{'cut point':{width}}  {'compute':>7}  {'ms b1':>7}  {'ms b8':>7}  "
        f"{'activation':>16}  {'KB fp32':>8}  "
    ]
    for point, cost, share in zip(model.cut_points, costs, reached, strict=False):
        mark = "cache" if point.name in cached else "candidate" * (point.name in candidates)
        shape = "x".join(map(str, point.shape))
        lines.append(
            f"{point.name:{width}}  {share:7.1%}  {cost[1]:7.2f}  {cost[8]:7.2f}  {shape:>16}  "
            f"{point.activation_bytes(4) / 1e3:8.1f}  {mark}".rstrip()
        )
    whole = [sum(cost[batch] for cost in costs) for batch in BATCHES]
    lines.append(f"{'(output)':{width}}  {1:7.1%}  {costs[-1][1]:7.2f}  {costs[-1][8]:7.2f}")
    lines.append(f"{'whole':{width}}  {'':7}  {whole[0]:7.2f}  {whole[1]:7.2f}")
    return "\n".join(lines)


def describe_plan(plan: Plan) -> str:
    """Caches, promise and expectation of a plan."""
    promise, expected = plan.promise, plan.expected
    lines = [f"plan for {plan.model}, learned from {plan.data}:"]
    if not plan.caches:
        lines.append("  no cache: none helps under these limits")
    for cache in plan.caches:
        lines.append(
            f"  {cache.cut_point}: {cache.variant.name}, {cache.memory_bytes / 1e3:.0f} KB, lookup "
            f"{cache.lookup_ms:.2f} ms, agreement {cache.agreement:.1%}, exits "
            f"{expected.exits[cache.cut_point]:.1%}"
        )
    limits = promise.limits
    left_out = [plan.description.classes[i] for i, c in enumerate(promise.classes) if not c.tested]
    lines += [
        f"  promise: at most {limits.max_disagreement:.2%} of answers differ from the base DNN's, "
        f"at most {limits.max_class_disagreement:.2%} of any class, at "
        f"{limits.confidence:.0%} confidence",
        f"  calibrated on {promise.samples} samples: {promise.disagreements} differ"
        + (f", threshold {promise.threshold:.4f}" if promise.threshold is not None else ""),
        f"  classes without enough samples, so without a promise of their own: "
        f"{', '.join(left_out) or 'none'}",
        f"  expected: {expected.hit_rate:.1%} hits; {expected.latency_ms:.1f} ms against "
        f"{expected.base_latency_ms:.1f} ms for the base DNN in one deployment; compute alone "
        f"{expected.compute_ms:.1f} against {expected.base_compute_ms:.1f} ms",
    ]
    return "\n".join(lines)
