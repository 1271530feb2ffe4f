"""What became of the requests, by who had been killed last before they were due."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from workload.chaos.killer import Kill
from workload.chaos.watch import Watch
from workload.client.answers import ERROR, Answers

NOBODY = "nobody"
REFUSED = ("HTTP 429", "HTTP 503", "HTTP 504")
NOT_TAKEN = "no connection"


@dataclass
class Row:
    """Of the requests that were due after kills of one kind.

    Attributes:
        refused: were told to come again.
        not_taken: found nobody who listens, so that nothing was accepted.
        p50_ms, p99_ms: from when answered ones were due; None where none was.
        lost: were accepted, and got no answer, or another than they should; by what it was.
        not_ready_s: after each kill, for how long it was not ready.
        back_s: after each kill, when as many processes were there as before.
    """

    kind: str
    kills: int = 0
    requests: int = 0
    right: int = 0
    wrong: int = 0
    refused: int = 0
    not_taken: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    not_ready_s: list[float] = field(default_factory=list)
    back_s: list[float | None] = field(default_factory=list)

    @property
    def lost_told(self) -> str:
        """For people."""
        return ", ".join(f"{count} {what}" for what, count in self.lost.items()) or "0"


def tally(
    answers: Answers, truth: np.ndarray, began_s: float, kills: Sequence[Kill], watch: Watch
) -> list[Row]:
    """A row for each kind that was killed, and one for before.

    Args:
        truth: the base DNN's labels, `(n,)`.
        began_s: of `time.perf_counter`, when the first request was due.
    """
    rows: dict[str, Row] = {NOBODY: Row(NOBODY)}
    at_s = [kill.at_s - began_s for kill in kills]
    after = np.searchsorted(at_s, answers.due_s, side="right")
    kinds = [NOBODY, *(kill.kind for kill in kills)]
    ends = [*(kill.at_s for kill in kills[1:]), np.inf]
    for kill, until_s in zip(kills, ends, strict=False):
        row = rows.setdefault(kill.kind, Row(kill.kind))
        row.kills += 1
        row.back_s.append(kill.back_s)
        row.not_ready_s.append(watch.not_ready_s(kill.at_s, until_s))
    of = np.array(kinds, object)[after]
    for kind, row in rows.items():
        count(row, answers, truth, np.flatnonzero(of == kind))
    return list(rows.values())


def as_json(rows: Sequence[Row]) -> list[dict]:
    return [asdict(row) for row in rows]


def describe(rows: Sequence[Row]) -> str:
    """For people: a Markdown table."""
    lines = [
        "| killed | times | requests | right | wrong | refused | nobody listened | lost | p99 ms "
        "| not ready s, median / most | all there again s, median / most |",
        "| --- " * 11 + "|",
    ]
    for row in [*rows, add_up(rows)]:
        p99 = "" if row.p99_ms is None else f"{row.p99_ms:.0f}"
        cells = [row.kind, row.kills, row.requests, row.right, row.wrong, row.refused]
        cells += [row.not_taken, row.lost_told, p99, _spread(row.not_ready_s), _spread(row.back_s)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def count(row: Row, answers: Answers, truth: np.ndarray, which: np.ndarray) -> None:
    """Add what became of some of the requests to their row.

    Args:
        truth: of all.
    """
    answered = answers.exits[which] != ERROR
    right = answered & (answers.class_ids[which] == truth[which])
    row.requests, row.right = len(which), int(right.sum())
    row.wrong = int(answered.sum()) - row.right
    if answered.any():
        row.p50_ms, row.p99_ms = np.percentile(
            answers.latency_ms[which][answered], (50, 99)
        ).tolist()
    for failure in answers.failures[which]:
        if failure in REFUSED:
            row.refused += 1
        elif failure == NOT_TAKEN:
            row.not_taken += 1
        elif failure:
            row.lost[failure] = row.lost.get(failure, 0) + 1


def add_up(rows: Sequence[Row]) -> Row:
    """Of all; percentiles are not added."""
    total = Row("all")
    for row in rows:
        for name in ("kills", "requests", "right", "wrong", "refused", "not_taken"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
        for what, times in row.lost.items():
            total.lost[what] = total.lost.get(what, 0) + times
    return total


def _spread(seconds: Sequence[float | None]) -> str:
    known = [one for one in seconds if one is not None]
    if not seconds:
        return ""
    never = len(seconds) - len(known)
    said = f"{np.median(known):.1f} / {max(known):.1f}" if known else ""
    return f"{said}{f', {never} not yet' if never else ''}"
