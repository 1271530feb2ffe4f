"""What a plan says of itself can be read, however many classes there are."""

from dataclasses import replace

from cache_models.bench.describe import describe_evaluation, describe_graphs, describe_plan
from cache_models.bench.evaluation import Evaluation
from cache_models.cache.recall import SHARED_ENTRIES
from cache_models.promise.promise import ClassRecord
from cache_models.store.graphs import GraphRecord, Graphs
from tests.plans import plan_for


def described(samples_by_class):
    names = [f"class {i}" for i in range(len(samples_by_class))]
    plan = plan_for(["layer1"], classes=names)
    records = [ClassRecord(samples=n, disagreements=0, tested=n > 9) for n in samples_by_class]
    plan = plan.model_copy(update={"promise": plan.promise.model_copy(update={"classes": records})})
    plan.expected.exits["layer1"] = 0.0
    lines = describe_plan(plan).splitlines()
    return next(line for line in lines if "without enough samples" in line)


def test_the_few_classes_without_a_promise_are_named_in_order():
    assert described([3, 10, 5]).endswith(": class 0, class 2")


def test_of_very_many_those_with_most_samples_are_named_and_the_others_counted():
    line = described([10, *range(10), *[0] * 989])
    assert "class 10, class 9, class 8" in line
    assert line.endswith("class 2 and 990 more (990 without any sample)")
    assert len(line) < 400


def test_classes_that_are_all_tested_leave_none_out():
    assert described([10, 10]).endswith(": none")


def test_a_plan_says_which_caches_remember_whom():
    plan = plan_for(["a", "b", "c", "d"], remember=["b", "c", "d"])
    plan.expected.exits = dict.fromkeys("abcd", 0.1)
    memories = [cache.memory for cache in plan.caches]
    memories[2].alone, memories[3].kept = False, SHARED_ENTRIES
    none, each, named, shared = describe_plan(plan).splitlines()[1:5]
    assert "memory" not in none
    assert "with a memory of each stream, 0 KB" in each
    assert "with a memory of each stream that it needs" in named
    assert "with a memory that all share" in shared


def test_what_takes_longer_than_the_base_dnn_is_not_called_less():
    quick = Evaluation(10, 1, {"a": 0.1}, {"base": 1.0}, 2.0, 5.0, 2.0)
    assert describe_evaluation(quick).endswith("2.50 times less")
    assert describe_evaluation(replace(quick, base_ms=1.0)).endswith("2.00 times more")


def test_every_partition_has_its_engine_and_how_its_graph_was_checked_or_why_there_is_none():
    whole = GraphRecord(
        file="Partition1.onnx",
        rows=32,
        largest_difference=3e-6,
        labels_changed=1,
        ms={"torch": 8.0, "onnxruntime": 2.0},
    )
    refused = GraphRecord(refused="its loop has no end", ms={"torch": 8.0})
    graphs = Graphs(
        fingerprint="", cut_points=["a"], partitions={"Partition0": refused, "Partition1": whole}
    )
    _, first, second = describe_graphs(graphs).splitlines()
    assert "Partition0: torch" in first and first.endswith("its loop has no end")
    assert "Partition1: onnxruntime (torch 8.00, onnxruntime 2.00)" in second
    assert second.endswith("at most 3e-06 on 32 inputs and labels 1 of them otherwise")
