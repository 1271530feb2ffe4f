"""Rooms import each other only as `pyproject.toml` allows, so that data flows one way."""

from pathlib import Path

from importlinter import cli

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_no_wall_is_broken(capsys):
    found = cli.lint_imports(config_filename=str(PROJECT), no_cache=True)
    assert found == 0, capsys.readouterr().out
