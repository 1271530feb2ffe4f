"""A trace sends the same pictures again, or is refused with its line."""

import numpy as np
import pytest

from workload.errors import ParameterError
from workload.traffic import streams, trace


@pytest.mark.parametrize("text", ["foreign:classes=2,at=90,kind=gratings", "drift:over=90"])
def test_a_replayed_trace_sends_the_same_pictures(tmp_path, text):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    labels = np.arange(60) % 3
    made = streams.make(text, 120, labels, 0)
    due_s = np.arange(120) / 7
    trace.write(tmp_path / "t.jsonl", made.trace(due_s))
    again = streams.make(f"replay:file={tmp_path}/t.jsonl", 10**9, labels, 5)
    assert np.allclose(again.times_s, due_s, atol=1e-6)
    assert made.varied == again.varied > 0
    for one, other in zip(made.samples(images), again.samples(images), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "line",
    ['{"time": 1, "item": 2, "worn": [1]}', "{", '{"time": 1}', '{"time": 0, "item": 60}', "3"],
)
def test_a_trace_that_cannot_be_is_refused_with_its_line(tmp_path, line):
    (tmp_path / "t.jsonl").write_text('{"time": 5, "item": 2}\n' + line + "\n")
    with pytest.raises(ParameterError, match=r"line 2: .*a line is"):
        streams.make(f"replay:file={tmp_path}/t.jsonl", 10, np.zeros(60, int), 0)


def test_keys_and_the_kind_of_copies_are_kept(tmp_path):
    labels = np.arange(60) % 5
    for text in ("users:users=9,topics=2", "popular:items=20,vary=jpeg"):
        made = streams.make(text, 80, labels, 0)
        trace.write(tmp_path / "t.jsonl", made.trace(np.arange(80.0)))
        again = streams.make(f"replay:file={tmp_path}/t.jsonl", 50, labels, 5)
        assert again.copies == made.copies and np.array_equal(again.items, made.items[:50])
        assert again.keys_of() == (None if made.keys is None else made.keys_of(slice(50)))
