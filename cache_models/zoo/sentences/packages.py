"""Debian's packages: what each is for, in a few English words, and the section that it is in.

Packages are divided between three uses by a hash of the source that they are built from, so that
two of one source, which share most of their description, are for the same use.
"""

import gzip
import json
import lzma
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from cache_models.errors import DataError

Use = Literal["head", "caches", "service"]
USES: dict[Use, range] = {"head": range(3), "caches": range(3, 8), "service": range(8, 10)}
"""Of every ten sources, those that are for it."""

LISTS = Path("/var/lib/apt/lists")
"""Where apt keeps what it knows of all packages."""
FETCH = "apt-get -o Acquire::Languages=en update"
APT_HELPER = "/usr/lib/apt/apt-helper"
"""Reads what apt keeps, however it is compressed."""

SECTIONS = (
    *("libs", "libdevel", "python", "doc", "perl", "devel", "utils", "haskell", "net", "rust"),
    *("golang", "javascript", "java", "science", "admin", "ruby", "gnu-r", "games", "x11", "text"),
)
"""The most frequent in Debian 12; packages of others are left out."""

FIELD = re.compile(r"^(Package|Source|Section|Description-md5): *(\S+)", re.MULTILINE)
DESCRIPTION = "Description-en: "


@dataclass(frozen=True)
class Package:
    """
    Attributes:
        text: its short description and the first paragraph of the long one.
        section: one of `SECTIONS`.
    """

    name: str
    source: str
    text: str
    section: str


def packages(use: Use, lists: Path = LISTS) -> list[Package]:
    """Those for a use, in the order of a hash, so that the first thousand are as any others; for
    other uses than `head` one of each source, so that no two samples know of each other.

    Args:
        lists: a folder of files `…Packages` and `…Translation-en`, plain or compressed.

    Raises:
        DataError: there are none, or they cannot be read.
    """
    found = [package for package in _all(lists) if _hash(package.source) % 10 in USES[use]]
    found.sort(key=lambda package: _hash(package.name))
    if use != "head":
        found = list({package.source: package for package in found}.values())
        found.sort(key=lambda package: _hash(package.source))  # whatever else a source builds
    if not found:
        raise DataError(f"{lists} holds no packages of {', '.join(SECTIONS[:3])}, …: {FETCH}")
    return found


def write(found: list[Package], file: Path) -> None:
    """As `--data` takes texts: an object a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": each.text, "section": each.section}) for each in found)
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _all(lists: Path) -> list[Package]:
    """One of each name, also where several releases have it."""
    described = {}
    for stanza in _stanzas(lists, "Translation-en"):
        fields, description = _fields(stanza), stanza.partition(DESCRIPTION)[2]
        if "Description-md5" in fields and description:
            described[fields["Description-md5"]] = _first_paragraph(description)
    found: dict[str, Package] = {}
    for stanza in _stanzas(lists, "Packages"):
        fields = _fields(stanza)
        name, section = fields.get("Package", ""), fields.get("Section", "").split("/")[-1]
        text = described.get(fields.get("Description-md5", ""))
        if text and section in SECTIONS:
            found[name] = Package(name, fields.get("Source", name), text, section)
    return list(found.values())


def _fields(stanza: str) -> dict[str, str]:
    return dict(FIELD.findall(stanza))


def _first_paragraph(description: str) -> str:
    short, _, long = description.partition("\n")
    first = long.partition("\n .")[0]
    return " ".join(f"{short}. {first}".split())


def _stanzas(lists: Path, kind: str) -> Iterator[str]:
    name = re.compile(rf".*{kind}(\.(gz|xz|bz2|lz4|zst))?")
    files = sorted(path for path in lists.iterdir() if name.fullmatch(path.name))
    if not files:
        raise DataError(f"{lists} holds no file …{kind}; {FETCH} fetches it")
    for file in files:
        yield from _read(file).split("\n\n")


def _read(file: Path) -> str:
    try:
        match file.suffix:
            case ".gz":
                content = gzip.decompress(file.read_bytes())
            case ".xz":
                content = lzma.decompress(file.read_bytes())
            case ".lz4" | ".zst" | ".bz2":
                command = [APT_HELPER, "cat-file", str(file)]
                content = subprocess.run(command, capture_output=True, check=True).stdout
            case _:
                content = file.read_bytes()
        return content.decode()
    except (OSError, EOFError, ValueError, lzma.LZMAError, subprocess.SubprocessError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _hash(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8])
