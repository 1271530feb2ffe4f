"""What a plan says of itself can be read, however many classes there are."""

from cache_models.bench.describe import describe_plan
from cache_models.promise.promise import ClassRecord
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
