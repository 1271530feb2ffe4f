"""For people to look at: a model's cut points, an exploration, and a plan."""

import numpy as np

from cache_models.bench.evaluation import Evaluation
from cache_models.bench.picture import is_chosen
from cache_models.build.measurement import ExplorationRecord
from cache_models.build.survey import candidate_names
from cache_models.cache.recall import ENTRIES
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cost import BATCHES, slice_costs
from cache_models.network.cutting import CutModel
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT
from cache_models.store.graphs import Graphs
from cache_models.store.plan import MemoryRecord, Plan


def describe_cut_points(
    base: BaseDNN, model: CutModel, device: str, plan: Plan | None = None
) -> str:
    """One line a cut point behind the input: share of compute, milliseconds of its slice (in
    PyTorch, which needs no graph of each), bytes, caches."""
    points = [point for point in model.cut_points if point.name != INPUT]
    names = [point.name for point in points]
    engines = slice_engines(base, model, names, device=device, choice="torch")
    costs = slice_costs(engines, base.description)
    kept = candidate_names(model)
    total = sum(cost[1] for cost in costs)
    reached = np.cumsum([cost[1] for cost in costs]) / total
    cached = set(plan.cut_points) if plan else set()
    width = max(map(len, ["(output)", *names]))
    lines = [
        f"{'cut point':{width}}  {'compute':>7}  {'ms b1':>7}  {'ms b8':>7}  "
        f"{'activation':>16}  {'KB fp32':>8}  "
    ]
    for point, cost, share in zip(points, costs, reached, strict=False):
        mark = "cache" if point.name in cached else "candidate" * (point.name in kept)
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
    lines = [f"plan for {plan.model}, learned from {plan.data}"]
    also = [plan.train_data] if plan.train_data else []
    copies = "copy" if plan.copies == 1 else "copies"
    also += [f"{plan.copies} altered {copies} of all that trains"] if plan.copies else []
    lines[0] += f", predictors also from {' and '.join(also)}:" if also else ":"
    if not plan.caches:
        lines.append(
            "  no cache: none helps under these limits; `inspect` lists those that were tried"
        )
    for cache in plan.caches:
        lines.append(
            f"  {cache.cut_point}: {cache.variant.name}{_remembers(cache.memory)}, "
            f"{cache.memory_bytes / 1e3:.0f} KB, lookup {cache.lookup_ms:.2f} ms, "
            f"agreement {cache.agreement:.1%}, exits {expected.exits[cache.cut_point]:.1%}"
        )
    limits = promise.limits
    lines += [
        f"  promise: at most {limits.max_disagreement:.2%} of answers differ from the base DNN's, "
        f"at most {limits.max_class_disagreement:.2%} of any class, at "
        f"{limits.confidence:.0%} confidence",
        f"  calibrated on {promise.samples} samples: {promise.disagreements} differ"
        + (f", threshold {promise.threshold:.4f}" if promise.threshold is not None else ""),
        f"  classes without enough samples, so without a promise of their own: {_left_out(plan)}",
        f"  expected: {expected.hit_rate:.1%} hits; {expected.latency_ms:.1f} ms against "
        f"{expected.base_latency_ms:.1f} ms for the base DNN in one deployment; compute alone "
        f"{expected.compute_ms:.1f} against {expected.base_compute_ms:.1f} ms",
        f"  expected calibration error of hits' probabilities: "
        f"{expected.hit_calibration_error:.3f}",
        *(f"  note: {note}" for note in plan.notes),
    ]
    return "\n".join(lines)


def describe_graphs(graphs: Graphs) -> str:
    """One line a partition: its engine on a CPU and why, and how its graph was checked."""
    lines = ["engines that `engine: auto` picks on a CPU, ms of one input after a pause:"]
    for name, record in graphs.partitions.items():
        ms = ", ".join(f"{engine} {of_engine:.2f}" for engine, of_engine in record.ms.items())
        line = f"  {name}: {record.quickest} ({ms}); "
        if record.file is None:
            line += f"there is no graph: {record.refused}"
        else:
            line += f"the graph differs by at most {record.largest_difference:.2g} on {record.rows}"
            line += " inputs"
            if record.labels_changed is not None:
                line += f" and labels {record.labels_changed} of them otherwise"
        lines.append(line)
    return "\n".join(lines)


def _remembers(memory: MemoryRecord | None) -> str:
    if memory is None:
        return ""
    if memory.kept > ENTRIES:
        return " with a memory that all share"
    needed = "" if memory.alone else " that it needs to answer"
    return f" with a memory of each stream{needed}"


def _left_out(plan: Plan, most: int = 20) -> str:
    """Those with most calibration samples, by name, and how many more."""
    records = plan.promise.classes
    left_out = [i for i, record in enumerate(records) if not record.tested]
    left_out.sort(key=lambda i: -records[i].samples)
    if len(left_out) <= most:
        return ", ".join(plan.description.classes[i] for i in sorted(left_out)) or "none"
    seen = [plan.description.classes[i] for i in left_out if records[i].samples]
    unseen, more = len(left_out) - len(seen), len(left_out) - len(seen[:most])
    return f"{', '.join(seen[:most])} and {more} more ({unseen} without any sample)"


def describe_exploration(records: list[ExplorationRecord], plan: Plan) -> str:
    """One line a variant and cut point, as measured on the selection samples."""
    width = max(len(record.cut_point) for record in records)
    lines = [
        f"{'cut point':{width}}  {'variant':8}  {'hits':>6}  {'agreement':>9}  {'ms b1':>6}  "
        f"{'ms b8':>6}  {'KB':>8}  {'trained s':>9}"
    ]
    for r in records:
        mark = "  chosen" if is_chosen(r, plan) else ""
        lines.append(
            f"{r.cut_point:{width}}  {r.variant:8}  {r.hit_rate:6.1%}  {r.agreement:9.1%}  "
            f"{r.lookup_ms_batch_1:6.2f}  {r.lookup_ms_batch_8:6.2f}  {r.memory_bytes / 1e3:8.1f}  "
            f"{r.training_s:9.1f}{mark}"
        )
    return "\n".join(lines)


def describe_evaluation(result: Evaluation) -> str:
    """Disagreement, exits and milliseconds of a cascade in one process."""
    by_class = result.disagreement_by_class
    worst = max(by_class, key=lambda name: by_class[name])
    exits = ", ".join(f"{name} {share:.1%}" for name, share in result.exits.items())
    times = result.base_ms / result.cascade_ms
    how_many = f"{times:.2f} times less" if times >= 1 else f"{1 / times:.2f} times more"
    return "\n".join(
        [
            f"{result.disagreements} of {result.samples} answers differ from the base DNN's "
            f"({result.disagreements / result.samples:.2%}); most of {worst}: "
            f"{result.disagreement_by_class[worst]:.2%}",
            f"exits: {exits}",
            f"cascade {result.cascade_ms:.2f} ms (the plan expects {result.expected_ms:.2f} for "
            f"these exits), base DNN {result.base_ms:.2f} ms: {how_many}",
        ]
    )
