"""The page, the dashboard and the alerts know the metrics that there are, and no others."""

import re
from pathlib import Path

import yaml

from deployments.metrics.definitions import METRICS
from tests.dashboards import alerts, panels, queries

ROOT = Path(__file__).parents[3]


def test_the_pages_table_is_the_codes():
    text = (ROOT / "deployments" / "README.md").read_text()
    section = text.split("\n## Metrics\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(gati_\w+)` \| (\w+) \| (.*?) \| (.+?) \|$", section, re.M)
    assert rows == [
        (m.name, m.kind, ", ".join(f"`{label}`" for label in m.labels), m.meaning) for m in METRICS
    ]


def test_names_are_prometheus_and_say_their_unit():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"gati_[a-z_]+[a-z]", metric.name)
        assert not metric.name.endswith("_total"), "Prometheus adds it"
        assert not re.search(r"_(ms|milliseconds|percent|kb|mb)$", metric.name)
        assert (metric.kind == "histogram") == bool(metric.buckets)


def test_dashboard_and_alerts_ask_for_what_there_is():
    known = {metric.exported: metric for metric in METRICS}
    asked = set()
    for query in [*queries(), *(alert["expr"] for alert in alerts())]:
        for name in re.findall(r"\bray_gati_\w+", query):
            asked.add(re.sub(r"_bucket$", "", name))
    assert asked <= set(known)
    shown = {re.sub(r"_bucket$", "", name) for query in queries() for name in words(query)}
    assert set(known) - shown <= {"ray_gati_caches_wanted", "ray_gati_judged_samples"}


def words(query: str) -> list[str]:
    return re.findall(r"\bray_gati_\w+", query)


def test_every_panel_has_a_title_a_unit_and_a_legend_and_none_lies_on_another():
    places = set()
    for panel in panels():
        assert panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places
        places |= cells
        assert max(x for x, _ in cells) < 24
        for target in panel.get("targets", []):
            assert target["legendFormat"] and panel["fieldConfig"]["defaults"]["unit"]


def test_an_alert_says_what_is_wrong_and_what_to_do():
    for alert in alerts():
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert set(alert["annotations"]) == {"summary", "description"}
    names = yaml.safe_load((ROOT / "deployments/dashboards/alerts.yaml").read_text())
    assert [group["name"] for group in names["groups"]] == ["gati"]
