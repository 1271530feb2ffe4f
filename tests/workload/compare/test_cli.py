"""What the command line names is read, or refused with what may be named."""

import click
import pytest
from click.testing import CliRunner

from workload.compare import run
from workload.compare.cli import compare, split_streams, split_systems
from workload.compare.systems.catalogue import SYSTEMS


def test_streams_and_systems_are_read_or_refused():
    assert split_streams("iid,locality:classes=3,mean_stay=2000,shift") == [
        "iid",
        "locality:classes=3,mean_stay=2000",
        "shift",
    ]
    asked_for = {"gati-unbatched", "gati-router", "apparate", "int8", "exact", "hash", "difference"}
    assert split_systems(None) == [name for name in SYSTEMS if name not in asked_for]
    assert split_systems("gati,plain") == ["plain", "gati"]
    for refused in (lambda: split_streams("none"), lambda: split_systems("plain,apache")):
        with pytest.raises(click.UsageError, match="none"):
            refused()


def test_logs_of_an_earlier_run_are_left_alone(tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr(run, "run", lambda _, folder, *__: folders.append(folder) or "done")
    (tmp_path / "gati").mkdir()
    for _ in range(2):
        asked = CliRunner().invoke(compare, ["--logs", str(tmp_path)], catch_exceptions=False)
        assert asked.output == "done\n"
    assert len(set(folders)) == 2
    assert all(folder.is_dir() and not list(folder.iterdir()) for folder in folders)
