"""Open loop in blocks: the same to all, one system at a time, in random order."""

import numpy as np

from workload.client.answers import Answers
from workload.compare import open_loop

URLS = {name: f"http://{name}" for name in ("plain", "gati", "mosec")}


def test_every_round_sends_all_systems_the_same(monkeypatch):
    sent = []

    def send(url, pictures, due_s, in_flight=64, keys=None):
        assert keys == [f"user-{int(pictures[0][0, 0, 0]) // 10}"] * 5
        sent.append((url, [int(p[0, 0, 0]) for p in pictures], due_s))
        return Answers.none(len(pictures))

    monkeypatch.setattr(open_loop, "send", send)
    rounds = [
        open_loop.Block(
            [np.full((1, 1, 1), 10 * k + i, np.uint8) for i in range(5)], [f"user-{k}"] * 5
        )
        for k in range(8)
    ]
    found = open_loop.in_blocks(URLS, rounds, rate_per_s=20, seed=0, gap_s=0)
    assert {name: len(answers) for name, answers in found.items()} == dict.fromkeys(URLS, 8)
    orders = set()
    for k in range(8):
        block = sent[3 * k : 3 * k + 3]
        assert sorted(url for url, _, _ in block) == sorted(URLS.values())
        assert all(pictures == [10 * k + i for i in range(5)] for _, pictures, _ in block)
        assert all((due_s == block[0][2]).all() for _, _, due_s in block)
        orders.add(tuple(url for url, _, _ in block))
    assert len(orders) > 2


def test_saturation_keeps_so_many_in_flight_and_counts_answers_alone(monkeypatch):
    def send(_, pictures, due_s, in_flight):
        assert in_flight == 8 and (due_s == 0).all()
        answers = Answers.none(len(pictures))
        answers.failures[:10] = "timeout"
        return answers

    clock = iter([0.0, 3.0])
    monkeypatch.setattr(open_loop, "send", send)
    monkeypatch.setattr(open_loop.time, "perf_counter", lambda: next(clock))
    rate, answers = open_loop.saturate("http://plain", [np.zeros((1, 1, 1), np.uint8)] * 40, 8)
    assert rate == 10.0
    assert len(answers.failures) == 40
