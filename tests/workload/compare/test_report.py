"""What a comparison says, from answers that were made up."""

import json

import click
import numpy as np
import pytest

from workload.client.client import ERROR, Answers
from workload.compare import report
from workload.compare.budget import budget
from workload.compare.cli import split_streams, split_systems
from workload.compare.systems.catalogue import SYSTEMS


def answers(n: int, ms: float, exit: str = "base", wrong: int = 0, failed: int = 0) -> Answers:
    made = Answers.none(n)
    made.class_ids[:], made.exits[:] = 3, exit
    made.latency_ms[:] = ms * np.random.default_rng(n).uniform(0.9, 1.1, n)
    made.class_ids[:wrong] = 4
    if failed:
        made.failures[-failed:], made.exits[-failed:] = "timeout", ERROR
    return made


@pytest.fixture
def result() -> dict:
    truth = np.full(100, 3)
    closed = {
        "plain": answers(100, 40),
        "gati": answers(100, 10, "input", wrong=2, failed=3),
        "in-process cascade": answers(100, 5, "input"),
    }
    blocks = {
        name: [answers(60, ms) for _ in range(3)] for name, ms in (("plain", 60), ("gati", 12))
    }
    compute_ms = {"plain": {"base": 30.0}, "gati": {"input": 2.0, "base": 31.0}}
    counts = {"requests": 100, "in_a_row": 10, "blocks": 3, "block_s": 14.0, "rate_per_s": 8.0}
    stream = {
        "counts": counts,
        "closed": report.closed(closed, truth, "plain", compute_ms),
        "open": report.in_blocks(blocks, [truth[:60]] * 3, "plain", compute_ms),
        "tax": report.tax(closed, "gati", "in-process cascade"),
    }
    return {
        "command": "python -m workload compare",
        "machine": {"cores": 2, "cpu": "a processor"},
        "date": "2026-11-24",
        "threads": 2,
        "reference": "plain",
        "missing": {"mosec": "mosec is not installed"},
        "streams": {"iid": stream},
    }


def test_the_table_names_every_system_and_what_is_missing(result):
    text = report.describe(json.loads(json.dumps(result)))
    row = next(line for line in text.splitlines() if line.startswith("| gati |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith("10.") or cells[1].startswith("9.")
    assert 3.8 < float(cells[2].split()[0]) < 4.2 and "to" in cells[2]
    assert 4.5 < float(cells[4].split()[0]) < 5.5
    assert cells[5] == "input 100%"
    assert cells[6] == "2 of 277; timeout: 3"
    assert cells[7] == "2.0"
    assert "Not compared: mosec: mosec is not installed" in text
    assert "Serving tax" in text and "n = 3 blocks" in text
    assert "n = 100 requests, 10 a turn" in text


def test_what_is_not_served_has_no_open_loop(result):
    text = report.describe(result)
    row = next(line for line in text.splitlines() if line.startswith("| in-process cascade |"))
    assert [cell.strip() for cell in row.strip("|").split("|")][3:5] == ["", ""]


def test_a_picture_is_drawn(result, tmp_path):
    result["streams"]["locality"] = result["streams"]["iid"]
    report.draw(result, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 20_000


def test_a_system_that_answered_nothing_is_in_the_table(result):
    dead = report.closed(
        {"plain": answers(20, 40), "gati": answers(20, 1, failed=20)}, np.full(20, 3), "plain", {}
    )
    assert dead["gati"]["mean_ms"] is None and dead["gati"]["times_faster"] is None
    result["streams"]["iid"]["closed"] = dead
    assert "timeout: 20" in report.describe(result)


@pytest.mark.parametrize("seconds", [200, 480, 1200])
def test_the_budget_is_kept(seconds):
    for servers, once_s in ((7, 0.35), (2, 0.1)):
        found = budget(seconds, servers, once_s, base_s=0.04, rate_per_s=12)
        a_block_s = servers * (found.block_s + 1) + 12 * found.block_s * 0.04
        spent_s = found.requests * (once_s + 0.04) + found.blocks * a_block_s
        assert 0.7 * seconds < spent_s <= 1.1 * seconds
        assert found.blocks >= 3 and found.block_s <= 30


def test_what_the_user_fixed_stands():
    found = budget(100, 3, 0.2, 0.04, 10, requests=33, blocks=2, block_s=7)
    assert (found.requests, found.blocks, found.block_s) == (33, 2, 7)
    assert budget(100, 3, 0.2, 0.04, 10, blocks=2).block_s == 30


def test_streams_and_systems_are_read_or_refused():
    assert split_streams("iid,locality:classes=3,mean_stay=2000,shift") == [
        "iid",
        "locality:classes=3,mean_stay=2000",
        "shift",
    ]
    assert split_systems(None) == [name for name in SYSTEMS if name != "gati-unbatched"]
    assert split_systems("gati,plain") == ["plain", "gati"]
    for refused in (lambda: split_streams("none"), lambda: split_systems("plain,apache")):
        with pytest.raises(click.UsageError, match="none"):
            refused()
