"""What a comparison says, from answers that were made up."""

import json

import numpy as np
import pytest

from workload.client.answers import ERROR, Answers
from workload.compare import report
from workload.compare.describe import describe
from workload.compare.plot import draw


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
    text = describe(json.loads(json.dumps(result)))
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
    text = describe(result)
    row = next(line for line in text.splitlines() if line.startswith("| in-process cascade |"))
    assert [cell.strip() for cell in row.strip("|").split("|")][3:5] == ["", ""]


def test_a_picture_is_drawn(result, tmp_path):
    result["streams"]["locality"] = result["streams"]["iid"]
    draw(result, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 20_000


def test_a_system_that_answered_nothing_is_in_the_table(result):
    dead = report.closed(
        {"plain": answers(20, 40), "gati": answers(20, 1, failed=20)}, np.full(20, 3), "plain", {}
    )
    assert dead["gati"]["mean_ms"] is None and dead["gati"]["times_faster"] is None
    result["streams"]["iid"]["closed"] = dead
    assert "timeout: 20" in describe(result)
