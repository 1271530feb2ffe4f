"""Paths as users write them, and folders as they keep them."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from cache_models.data.datasets import cache_home
from cache_models.data.samples import open_samples
from cache_models.errors import DataError
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from cache_models.paths import UserPath, files_under


@click.command()
@click.option("--out", type=UserPath())
def command(out: Path) -> None:
    click.echo(out)


def test_the_home_folder_is_meant_also_where_the_shell_leaves_it_alone(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert CliRunner().invoke(command, ["--out=~/x"]).output == "/home/somebody/x\n"
    assert CliRunner().invoke(command, ["--out=a~/x"]).output == "a~/x\n"
    refused = CliRunner().invoke(command, ["--out=~nobody-of-that-name/x"])
    assert refused.exit_code == 2 and "~nobody-of-that-name" in refused.output


def test_no_option_takes_a_path_otherwise():
    root = Path(__file__).parents[2]
    others = [
        file
        for room in ("cache_models", "deployments", "workload")
        for file in (root / room).rglob("*.py")
        if "click.Path(" in file.read_text() and file.name != "paths.py"
    ]
    assert not others


def test_with_gati_home_nothing_asks_for_a_home(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: pytest.fail("asked for a home"))
    monkeypatch.setenv("GATI_HOME", "/data/gati")
    assert cache_home() == Path("/data/gati")


@pytest.mark.parametrize("named", [None, "", "~/cache"])
def test_without_any_home_the_error_names_the_variable(named, monkeypatch):
    def no_home(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.delenv("GATI_HOME", raising=False)
    if named is not None:
        monkeypatch.setenv("GATI_HOME", named)
    with pytest.raises(DataError, match="GATI_HOME"):
        cache_home()


@pytest.fixture
def linked(tmp_path) -> Path:
    """Class folders that are links, one of them in a circle, and a link that leads nowhere."""
    for name in ("cats", "dogs"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "elsewhere" / name / "a.PNG")
    data = tmp_path / "data"
    (data / "birds").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(data / "birds" / "b.jpg")
    (data / "cats").symlink_to(tmp_path / "elsewhere" / "cats")
    (data / "dogs").symlink_to("../elsewhere/dogs")
    (data / "birds" / "all").symlink_to(data)
    (tmp_path / "elsewhere" / "dogs" / "back").symlink_to(data)
    (data / "gone.png").symlink_to(tmp_path / "nowhere.png")
    return data


def test_links_are_followed_and_circles_end(linked):
    found = [str(p.relative_to(linked)) for p in files_under(linked, {".png", ".jpg"})]
    assert found == ["birds/b.jpg", "cats/a.PNG", "dogs/a.PNG", "gone.png"]


def test_samples_come_from_linked_folders_and_from_home(linked, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(linked.parent))
    description = ModelDescription((3, 8, 8), ("a", "b"), Preprocessing((8, 8)))
    samples = open_samples("~/data", description, tmp_path / "work")
    assert len(samples.images) == 3
    assert ["gone.png" in skipped for skipped in samples.skipped] == [True]
