"""What the pages say is true of the code: keys, commands, files, extras."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from deployments.config import AppArgs
from deployments.gati import cli

ROOT = Path(__file__).parents[1]
ROOMS = "cache_models", "deployments", "workload", "tests"
README = ROOT / "README.md"
PAGES = [README, *sorted(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))]
MOST_WORDS = 1300

of_every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


def keys(model: BaseModel, prefix: str = "") -> dict[str, object]:
    """Every key that an operator may write, dotted, with its default."""
    found: dict[str, object] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        nested = isinstance(value, BaseModel)
        found |= keys(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def table_of_keys(page: Path) -> dict[str, object]:
    """What the page's table of keys says: each key's default."""
    rows = re.search(r"^\| key \| default \|.*\n\|[ -|]+\n((?:\|.*\n)+)", page.read_text(), re.M)
    assert rows, f"{page} has no table that begins with | key | default |"
    cells = [re.match(r"\| `([^`]+)` \| `([^`]+)` \|", row) for row in rows[1].splitlines()]
    assert all(cells), f"{page}: a row is not | `key` | `default` | meaning |"
    return {cell[1]: yaml.safe_load(cell[2]) for cell in cells}


def commands(text: str) -> Iterator[list[str]]:
    """Every `python -m <room> …` and `gati …` of a page, in code blocks and in code within a
    line."""
    rooms = r"python -m ((?:cache_models|deployments|workload) [a-z][^\n`]*)"
    found = re.findall(rf"{rooms}|(?:^|`|&& )(gati [a-z][^\n`]*)", text, re.M)
    return (shlex.split("".join(command), comments=True) for command in found)


def headings(text: str) -> set[str]:
    """As GitHub names them in links."""
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_readme_is_short():
    assert len(README.read_text().split()) <= MOST_WORDS


def test_every_key_is_in_the_table_with_its_default_and_no_other():
    assert table_of_keys(ROOT / "deployments/README.md") == keys(AppArgs())


def test_keys_that_readme_names_have_the_defaults_that_it_says():
    table = table_of_keys(README)
    assert table.items() <= keys(AppArgs()).items()


@of_every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} is not there"
        assert not heading or heading in headings(file.read_text()), f"{target} has no such heading"


@of_every_page
def test_named_files_exist(page):
    spans = re.findall(r"`([^`\n]+)`", page.read_text())
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.M | re.S)
    named = {
        name.rstrip("/.")
        for text in spans + blocks
        for name in re.findall(rf"(?<![\w/.<])(?:{'|'.join(ROOMS)})/[\w./-]*", text)
    }
    missing = [name for name in sorted(named) if not (ROOT / name).exists()]
    assert not missing


@of_every_page
def test_named_modules_and_what_is_in_them_exist(page):
    dotted = r"(?<![\w/.<])((?:cache_models|deployments|workload)(?:\.\w+)+)(?::(\w+))?"
    for name, function in re.findall(dotted, page.read_text()):
        path = ROOT / name.replace(".", "/")
        is_module = path.is_dir() or path.with_suffix(".py").is_file()
        module, _, attribute = (name, "", function) if is_module else name.rpartition(".")
        source = ROOT / (module.replace(".", "/") + ("/__init__.py" if path.is_dir() else ".py"))
        assert source.is_file(), f"{name} is not there"
        assert not attribute or re.search(
            rf"^(def|class) {attribute}\b|^{attribute}\b.* =", source.read_text(), re.M
        ), f"{module} has no {attribute}"


@of_every_page
def test_commands_and_their_options_exist(page):
    for room, name, *arguments in commands(page.read_text()):
        group = cli if room == "gati" else import_module(f"{room}.__main__").cli
        command = group.get_command(click.Context(group), name)
        assert command, f"{room} has no {name}"
        context = click.Context(command, resilient_parsing=True)
        _, left, _ = command.make_parser(context).parse_args(arguments)
        positional = [p for p in command.params if isinstance(p, click.Argument)]
        assert not left or positional, f"{room} {name} takes no {left}"


@of_every_page
def test_named_extras_exist(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"'\.\[([\w,]+)\]'", page.read_text())
    assert {extra for names in named for extra in names.split(",")} <= set(
        project["optional-dependencies"]
    )


def test_readme_asks_where_the_shipped_configuration_listens():
    http = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["http_options"]
    asked = set(re.findall(r"http://[\w.]+:\d+", README.read_text()))
    assert asked == {f"http://{http['host']}:{http['port']}"}
