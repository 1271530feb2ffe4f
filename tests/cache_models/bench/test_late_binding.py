"""What a hit and a miss take beside the base DNN, and when a cache pays."""

import json

from click.testing import CliRunner

from cache_models.__main__ import cli
from cache_models.bench.late_binding import late_binding
from cache_models.store.plan import HopCost


def test_a_hit_saves_the_rest_of_the_base_dnn():
    free = HopCost(fixed_ms=0, per_mb_ms=0)
    row = late_binding("mobilenet_v3_small", 0.25, free, "cpu", "float32", 64)
    assert 0.1 < row.share < 0.4
    assert row.lookup_ms < row.hit_ms < row.miss_ms
    half, most = row.gains
    assert most > half


def test_where_a_hop_takes_longer_than_the_rest_it_never_pays(tmp_path):
    hop, out = tmp_path / "hop.json", tmp_path / "rows.json"
    hop.write_text(HopCost(fixed_ms=1000, per_mb_ms=0).model_dump_json())
    given = ["late-binding", "mobilenet_v3_small", "--side", "64", "--hop", hop, "--out", out]
    result = CliRunner().invoke(cli, list(map(str, given)))
    assert result.exit_code == 0, result.output
    assert "never" in result.output
    row = json.loads(out.read_text())
    assert row["needed"] is None
    assert max(row["gains"]) < 1


def test_a_library_that_nobody_knows_is_named():
    result = CliRunner().invoke(cli, ["late-binding", "nobody:x"])
    assert result.exit_code == 1
    assert "'nobody' is none of" in result.output
