"""Systems that fail to start are named, and the rest goes on."""

from workload.compare.systems import bring_up


def test_systems_that_fail_are_named_and_the_rest_goes_on():
    asked = []

    def answers(name, url):
        asked.append(url)
        return None if name == "good" else "refused"

    ready, failed = bring_up.wait_until_ready(
        {"dead": "/a", "good": "/b", "late": "/c"},
        lambda name: "dead ended with 1: no module" if name == "dead" else None,
        answers,
        last_s=0.05,
        tick_s=0.01,
    )
    assert ready == ["good"]
    assert failed["dead"] == "dead ended with 1: no module"
    assert failed["late"].endswith("refused")
    assert "/a" not in asked
