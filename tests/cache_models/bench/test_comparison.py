"""Every other cache is learned, tuned and asked on the same samples, under the same promise.

Two candidates and two kinds of predictor are enough for that; the samples are as many as the
promise needs.
"""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from cache_models.__main__ import cli
from cache_models.bench import contest
from cache_models.build import exploration
from tests.streams import scenes
from tests.tiny import images

PROMISE = ["--max-disagreement", "0.05", "--max-class-disagreement", "0.3"]


WITHOUT_A_SLICE = "model cascade", "the very same input", "perceptual hash"
"""Who asks the base DNN for nothing of a hit."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    np.save(folder / "data.npy", images(1200))
    np.save(folder / "test.npy", images(600, seed=1))
    (folder / "hop.json").write_text('{"fixed_ms": 0, "per_mb_ms": 0}')
    return folder


@pytest.fixture(autouse=True)
def worth_caching(monkeypatch):
    """A lookup costs more than this base DNN: the composition is told that a slice costs 100 ms,
    and a hop nothing."""
    monkeypatch.setattr(
        "cache_models.build.survey.slice_costs",
        lambda engines, input_shape, batches=(1, 8): [
            dict.fromkeys(batches, 100.0) for _ in engines
        ],
    )
    every = exploration.variants_for
    monkeypatch.setattr(
        exploration,
        "variants_for",
        lambda shape: [v for v in every(shape) if v.name in ("pool-2", "fc-32")],
    )


def _run(folder, command, *options):
    arguments = [
        *(command, "--model", "tests.tiny:tiniest", "--work", str(folder / "work")),
        *("--data", str(folder / "data.npy"), *PROMISE, *options),
    ]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_all_contenders_keep_the_promise_and_none_beats_the_oracle(folder, monkeypatch):
    monkeypatch.setattr("cache_models.bench.comparison.CNN_WIDTHS", (8,))
    options = "--test", str(folder / "test.npy"), "--hop", str(folder / "hop.json")
    output = _run(folder, "compare", *options, "--out", str(folder / "rows.csv"))
    with open(folder / "rows.csv") as stream:
        rows = {row["contender"]: row for row in csv.DictReader(stream)}
    assert [name.split(" (")[0] for name in rows] == [
        "base DNN",
        "oracle",
        "learned caches",
        "entropy exits, composed",
        "probability exits, composed",
        "entropy exits, everywhere",
        "probability exits, everywhere",
        "Apparate's tuner",
        "nearest neighbours",
        "base DNN in int8",
        "model cascade",
        "the very same input",
        "perceptual hash",
    ]
    assert all(name in output for name in rows)
    assert not any("off: keeps no promise" in name for name in rows)
    assert float(rows["base DNN"]["disagreement"]) == 0
    promised = [row for row in rows.values() if row["contender"] != "base DNN in int8"]
    for row in promised:
        assert float(row["disagreement"]) <= 0.07
        if row["contender"] not in WITHOUT_A_SLICE:
            assert float(row["mflop"]) >= float(rows["oracle"]["mflop"])


def test_of_streams_independent_samples_count_and_the_last_answer_contends(folder, monkeypatch):
    monkeypatch.setattr("cache_models.bench.comparison.CNN_WIDTHS", (8,))
    counted = []
    whole = contest.independent

    def watched(data, *arguments):
        counted.extend([len(data.calibrate), len(whole(data, *arguments).calibrate)])
        return whole(data, *arguments)

    monkeypatch.setattr(contest, "independent", watched)
    for name, seed in (("first", 0), ("later", 1)):
        pictures, streams = scenes(1800, seed)
        np.savez(folder / f"{name}.npz", images=pictures, streams=streams.keys, at=streams.at)
    _run(
        folder,
        "compare",
        *("--data", str(folder / "first.npz"), "--test", str(folder / "later.npz")),
        *("--work", str(folder / "scenes"), "--hop", str(folder / "hop.json")),
        *("--cut-points", "input", "--variants", "fc-32", "--confidence", "0.6"),
        *("--out", str(folder / "streams.csv")),
    )
    with open(folder / "streams.csv") as stream:
        rows = {row["contender"]: row for row in csv.DictReader(stream)}
    assert 18 <= counted[1] < counted[0]
    assert set(json.loads(rows["oracle"]["exits"])) == {"input", "base"}
    last = rows["difference detector"]
    assert json.loads(last["exits"])["difference"] > 0.3
    assert float(last["disagreement"]) <= 0.07


def test_leaving_classes_out_shows_what_the_gate_stops_and_what_it_costs(folder):
    store = str(folder / "store")
    built = _run(folder, "build", "--out", store, "--hop", str(folder / "hop.json"))
    assert "no cache" not in built
    options = "--test", str(folder / "test.npy"), "--trials", "1", "--known-classes", "3"
    output = _run(folder, "novelty", "--store", store, *options)
    assert "hits on others" in output and "no gate" in output
