"""What becomes of a store of which one file has a fault: a row of `ROWS` for each.

Served on is from the last good version, or after the file was made anew. What is refused is in one
line, which says how to mend it; the application that was there before goes on serving.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from cache_models.build.cold_start import cold_start
from cache_models.follow.traffic import Sample
from cache_models.network.base_dnn import load
from cache_models.network.stages import INPUT
from cache_models.promise.promise import Limits
from cache_models.store import slice_graphs
from cache_models.store.checksums import sha256
from cache_models.store.exporting import ensure
from cache_models.store.graphs import folder_of, partition_engine, read
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from deployments.config import AppArgs
from deployments.follow.stored import open_log
from deployments.ingress import streams
from deployments.transport.zmq.key import load_key, make_key
from tests.faults import forbidden, open_folder

FILES = {
    "weights": "versions/2/input.safetensors",
    "plan": "versions/2/plan.json",
    "checksums": "versions/2/manifest.json",
    "current": "current",
    "graph": "graphs/*/Partition0.onnx",
    "checksums of graphs": "graphs/*/graphs.json",
    "key of lanes": "lane.key",
    "key of streams": "stream.key",
    "traffic log": "traffic.sqlite",
}
LAST, OTHER, ANEW, SAME, REFUSED = "version 1", "version 2", "made anew", "unharmed", "refused"
KEY = "delete it and restart the application"
LEAVE = "[Gg]ive this user leave"

ROWS = [
    ("weights", "a bit is flipped", LAST, "differs from its checksum. Restore the file"),
    ("weights", "half is missing", LAST, "differs from its checksum. Restore the file"),
    ("weights", "it is missing", LAST, "No such file.* Restore it, or build again"),
    ("weights", "it is empty", LAST, "differs from its checksum. Restore the file"),
    ("weights", "it is another model's", LAST, "differs from its checksum. Restore the file"),
    ("weights", "nobody may read it", LAST, LEAVE),
    ("plan", "a bit is flipped", LAST, "differs from its checksum. Restore the file"),
    ("plan", "half is missing", LAST, "differs from its checksum. Restore the file"),
    ("plan", "it is missing", LAST, "No such file.* Restore it, or build again"),
    ("plan", "it is empty", LAST, "differs from its checksum. Restore the file"),
    ("plan", "it is another model's", LAST, "differs from its checksum. Restore the file"),
    ("plan", "its format is newer", LAST, "of format 4, and this release reads 3: update gati"),
    ("plan", "nobody may read it", LAST, LEAVE),
    ("checksums", "a bit is flipped", LAST, "[Rr]estore"),
    ("checksums", "half is missing", LAST, "missing or half-written.* Restore it, or build again"),
    ("checksums", "it is missing", LAST, "missing or half-written.* Restore it, or build again"),
    ("checksums", "it is empty", LAST, "missing or half-written.* Restore it, or build again"),
    ("checksums", "it is another model's", LAST, "differs from its checksum. Restore the file"),
    ("checksums", "nobody may read it", LAST, LEAVE),
    ("current", "a bit is flipped", OTHER, "serving cache version 2: .*names no version"),
    ("current", "half is missing", OTHER, "serving cache version 2: .*names no version"),
    ("current", "it is missing", OTHER, "serving cache version 2: .*No such file"),
    ("current", "it is empty", OTHER, "serving cache version 2: .*names no version"),
    ("current", "nobody may read it", OTHER, "serving cache version 2: .*Permission denied"),
    ("graph", "a bit is flipped", ANEW, "is damaged: .* `python -m cache_models export`, makes"),
    ("graph", "half is missing", ANEW, "is damaged: .* `python -m cache_models export`, makes"),
    ("graph", "it is missing", ANEW, "No such file"),
    ("graph", "it is empty", ANEW, "is damaged: .* `python -m cache_models export`, makes"),
    ("graph", "it is another model's", ANEW, "is damaged: .* `python -m cache_models export`"),
    ("graph", "nobody may read it", REFUSED, LEAVE),
    ("checksums of graphs", "a bit is flipped", ANEW, ""),
    ("checksums of graphs", "half is missing", ANEW, "`python -m cache_models export"),
    ("checksums of graphs", "it is missing", ANEW, "`python -m cache_models export"),
    ("checksums of graphs", "it is empty", ANEW, "`python -m cache_models export"),
    ("checksums of graphs", "it is another model's", ANEW, "damaged|No such file"),
    ("checksums of graphs", "its format is newer", ANEW, "`python -m cache_models export"),
    ("checksums of graphs", "nobody may read it", REFUSED, LEAVE),
    ("key of lanes", "a bit is flipped", REFUSED, KEY),
    ("key of lanes", "half is missing", REFUSED, KEY),
    ("key of lanes", "it is missing", ANEW, ""),
    ("key of lanes", "it is empty", REFUSED, KEY),
    ("key of lanes", "nobody may read it", REFUSED, KEY),
    ("key of streams", "half is missing", REFUSED, KEY),
    ("key of streams", "it is missing", ANEW, ""),
    ("key of streams", "it is empty", REFUSED, KEY),
    ("key of streams", "nobody may read it", REFUSED, KEY),
    ("traffic log", "half is missing", ANEW, "cannot be read .*; kept as .*damaged.*begun anew"),
    ("traffic log", "it is missing", ANEW, ""),
    ("traffic log", "it is empty", ANEW, ""),
    (
        "traffic log",
        "it is another model's",
        SAME,
        "samples of another base DNN or cut points: deleted",
    ),
    ("traffic log", "its format is newer", REFUSED, "is of format 2, .*update gati, or move"),
    ("traffic log", "nobody may read it", REFUSED, LEAVE),
]


@pytest.fixture(scope="module")
def stores(made) -> Iterator[tuple[Path, Path]]:
    """One of two versions, with all that a store may hold, and another model's."""
    with open_folder() as folder:
        other = load("tests.tiny:tiniest")
        cold_start(other, Store(folder / "other"), Limits(), HopCost(), [INPUT, "stem"])
        shutil.copytree(made.folder, folder / "ours")
        for name in ("ours", "other"):
            store = Store(folder / name)
            version = store.current()
            files = [cache.file for cache in version.plan.caches]
            store.publish(version.plan, {file: version.load(i) for i, file in enumerate(files)})
            make_key(store.folder)
            streams.make_key(store.folder)
            log = opened(store)
            said = np.eye(4, dtype=np.float32)
            shapes = [cache.feature_shape for cache in version.plan.caches]
            log.add(Sample([np.ones(s) for s in shapes], said[i % 4], at=i) for i in range(40))
            log._database.close()
        yield folder / "ours", folder / "other"


@pytest.fixture
def store(stores) -> Iterator[Store]:
    with open_folder() as folder:
        yield Store(shutil.copytree(stores[0], folder / "store"))


@pytest.fixture(autouse=True)
def exported(stores, monkeypatch):
    """Graphs as they were, so that making them anew takes no time."""
    store = Store(stores[0])
    plan = store.current().plan
    made = read(store.folder, plan).partitions

    def copy(folder, *_):
        for record in made.values():
            shutil.copy(folder_of(store.folder, plan) / record.file, folder)
        return made

    monkeypatch.setattr(slice_graphs, "export_slices", copy)


def opened(store: Store):
    args = AppArgs(store=str(store.folder), model="tests.tiny:tiny")
    return open_log(args, Store(store.folder).current().plan)


def damage(fault: str, file: Path, other: Path, ends: ExitStack) -> None:
    content = file.read_bytes()
    middle = len(content) // 2
    match fault:
        case "a bit is flipped":
            flipped = content[middle] ^ 1
            file.write_bytes(content[:middle] + bytes([flipped]) + content[middle + 1 :])
        case "half is missing":
            file.write_bytes(content[:middle])
        case "it is missing":
            file.unlink()
        case "it is empty":
            file.write_bytes(b"")
        case "it is another model's":
            shutil.copy(other, file)
        case "its format is newer":
            newer(file)
        case "nobody may read it":
            ends.enter_context(forbidden(file))


def newer(file: Path) -> None:
    """As a later release would have written it."""
    content = file.read_bytes()
    if file.suffix == ".sqlite":  # user_version, at byte 60
        file.write_bytes(content[:60] + (2).to_bytes(4) + content[64:])
        return
    told = json.loads(content)
    file.write_text(json.dumps(told | {"format": told["format"] + 1, "more": "than is known"}))
    manifest = file.with_name("manifest.json")
    if manifest.exists():
        sums = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(sums | {file.name: sha256(file)}))


def used(what: str, store: Store) -> str:
    """What becomes of it where an application starts."""
    match what:
        case "weights" | "plan" | "checksums" | "current":
            version = store.current()
            version.load(0)
            return f"version {version.number}"
        case "graph" | "checksums of graphs":
            version = store.current()
            ensure(store.folder, version)
            for stage in version.plan.stages():
                if not stage.is_lookup:
                    partition_engine(store.folder, version.plan, stage, "onnxruntime", 1, "cpu")
            return ANEW
        case "key of lanes":
            make_key(store.folder)
            load_key(store.folder)
            return ANEW
        case "key of streams":
            streams.make_key(store.folder)
            streams.Streams(store.folder).hashed("somebody")
            return ANEW
        case _:
            log = opened(store)
            log.window_and_reservoir()
            log.tidy()
            return SAME if log.state("mode") is None and log.state("layout") else ANEW


def came_of(what: str, store: Store, caplog) -> tuple[str, str]:
    """What becomes of it, and the lines that say so."""
    try:
        became = used(what, store)
    except Exception as error:
        became, said = REFUSED, str(error)
        assert len(said.splitlines()) == 1
    else:
        said = "\n".join(r.getMessage() for r in caplog.records)
    assert all(len(line) < 600 for line in said.splitlines())
    return became, said


@pytest.mark.parametrize("what, fault, outcome, says", ROWS, ids=[f"{w}: {f}" for w, f, *_ in ROWS])
def test_a_fault_is_survived_or_refused_in_one_line(
    stores, store, what, fault, outcome, says, caplog
):
    (file,), (other,) = store.folder.glob(FILES[what]), stores[1].glob(FILES[what])
    caplog.set_level(logging.WARNING)
    with ExitStack() as ends:
        damage(fault, file, other, ends)
        became, said = came_of(what, store, caplog)
    if what == "traffic log" and became == SAME:
        became = outcome  # whether it began anew is what it says
    assert became == outcome, said
    assert re.search(says, said), said


@pytest.mark.parametrize(
    "what, good", [("current", OTHER), ("key of lanes", ANEW), ("key of streams", ANEW)]
)
def test_whichever_bit_of_a_small_file_is_flipped(store, what, good, caplog):
    """Some make of a key of streams another one: then the names of streams are hashed otherwise."""
    (file,) = store.folder.glob(FILES[what])
    content = file.read_bytes()
    for bit in range(8 * len(content)):
        caplog.clear()
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        became, said = came_of(what, store, caplog)
        assert became == good or (became == REFUSED and re.search(KEY, said)), (flipped, said)
