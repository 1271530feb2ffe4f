"""Every request is counted once, under whom was killed last before it was due."""

import numpy as np

from workload.chaos.killer import Kill
from workload.chaos.tally import describe, tally
from workload.chaos.watch import Watch
from workload.client.answers import Answers

BEGAN_S = 1000.0


def test_a_table_by_kind():
    answers = Answers.none(7)
    answers.due_s[:] = range(7)
    answers.latency_ms[:] = 10
    answers.exits[:3] = "input"
    answers.class_ids[:3] = [4, 4, 5]
    answers.failures[3:] = ["HTTP 503", "no connection", "connection lost", "HTTP 500"]
    kills = [
        Kill("router", 11, BEGAN_S + 1.5, back_s=2.0),
        Kill("haproxy", 12, BEGAN_S + 4.5),
    ]
    watch = Watch("http://nowhere")
    watch.said = [(BEGAN_S + at_s, ready) for at_s, ready in [(1, True), (2.5, False), (4, True)]]
    nobody, router, haproxy = rows = tally(answers, np.full(7, 4), BEGAN_S, kills, watch)
    assert (nobody.requests, nobody.right, nobody.wrong) == (2, 2, 0)
    assert (router.requests, router.wrong, router.refused, router.not_taken) == (3, 1, 1, 1)
    assert (router.kills, router.not_ready_s, router.back_s) == (1, [1.0], [2.0])
    assert haproxy.lost == {"connection lost": 1, "HTTP 500": 1}
    assert haproxy.back_s == [None]
    all_of_them = describe(rows).splitlines()[-1]
    assert all_of_them.startswith("| all | 2 | 7 | 2 | 1 | 1 | 1 | 1 connection lost, 1 HTTP 500 |")
