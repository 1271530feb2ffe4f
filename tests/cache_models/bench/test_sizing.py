"""The replicas that a rate takes keep the p99 that was asked for."""

import json
import re

import pytest
from click.testing import CliRunner

from cache_models.bench.capacity import plain
from cache_models.bench.sizing import GATI, PLAIN, default_p99_ms, describe, size, sizes
from cache_models.commands.measuring import inspect
from tests.plans import planned


def replicas(sizing):
    return {deployment.name: deployment.replicas for deployment in sizing.deployments}


def test_the_replicas_keep_up_and_keep_the_p99():
    plan = planned(["input", "late"], {"input": 0.6, "late": 0.3, "base": 0.1})
    few, many = (
        {one.system: one for one in sizes(plan, [rate], default_p99_ms(plan), requests=1_500)}
        for rate in (1, 100)
    )
    assert set(replicas(few[GATI]).values()) == {1}
    for one in many.values():
        assert one.reached and one.p99_ms <= 200
        assert all(deployment.busy < 1 for deployment in one.deployments)
    assert replicas(many[GATI])["Partition0"] >= 3  # 28 ms a request, 100 times a second
    assert replicas(many[GATI])["Partition0"] > replicas(many[GATI])["Partition1"]
    assert replicas(many[PLAIN])["Plain"] >= 11
    assert many[GATI].cores < many[PLAIN].cores
    text = describe([*few.values(), *many.values()], 200)
    assert re.search(r"100  gati .*Partition0 \d+ \(\d+%\)", text)
    assert "99 of 100 requests within 200 ms." in text


def test_what_no_number_of_replicas_reaches_is_said():
    plan = planned([], {"base": 1.0})
    one = size("plain", plain(plan), 10, 50, requests=1_500)
    assert not one.reached
    assert "more replicas do not reach" in describe([one], 50)


def test_sizing_is_the_same_every_time():
    plan = planned(["input"], {"input": 0.6, "base": 0.4})
    assert sizes(plan, [30], 150, requests=500) == sizes(plan, [30], 150, requests=500)


@pytest.mark.parametrize("rate", ["0", "-3", "many"])
def test_a_rate_that_cannot_be_is_refused(rate):
    result = CliRunner().invoke(inspect, ["--rate", rate])
    assert result.exit_code == 2
    assert "'--rate'" in result.output.splitlines()[-1]


def test_a_rate_without_a_plan_is_refused():
    result = CliRunner().invoke(inspect, ["--model", "torchvision:resnet18", "--rate", "20"])
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == (
        "Error: --rate needs a plan: name its store by --store"
    )


def test_inspect_says_it_to_programs():
    rates = ["--rate", "20", "--rate", "100"]
    result = CliRunner().invoke(inspect, ["--json", "--p99-ms", "80", *rates])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["p99_ms"] == 80
    asked = [(one["rate_per_s"], one["system"]) for one in told["sizing"]]
    assert asked == [(20, GATI), (20, PLAIN), (100, GATI), (100, PLAIN)]
    names = [deployment["name"] for deployment in told["sizing"][0]["deployments"]]
    assert names == ["Router", "Lookup0", "Partition0"]
