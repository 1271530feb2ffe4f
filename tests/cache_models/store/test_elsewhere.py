"""A store under a URL: who publishes is interrupted anywhere, who reads has a last good version,
and of two who publish at once one wins and the other says so."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from importlib.util import find_spec

import fsspec
import pytest
import torch
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from cache_models.__main__ import cli
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.errors import ArtifactError
from cache_models.store import exporting, publication
from cache_models.store.graphs import partition_engine, read
from cache_models.store.secrets import make_once, secret
from cache_models.store.versions import Store
from tests.plans import plan_for

URL = "memory://bucket/store"
VARIANT = Variant(family="pool", size=1)
PLAN = plan_for(["early"], variant=VARIANT)
WRITES = "put_file", "pipe_file", "rm", "mv"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GATI_HOME", str(tmp_path / "home"))


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path) -> Iterator[str]:
    """Of a store that is not there yet."""
    if request.param == "file":
        yield f"file://{tmp_path}/shared/store"
        return
    yield URL
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def other_node(tmp_path, monkeypatch):
    """Called: from now on this is a node that has no copy yet."""

    def move(name="other"):
        monkeypatch.setenv("GATI_HOME", str(tmp_path / name))

    return move


def caches(seed=0):
    torch.manual_seed(seed)
    return {"early.safetensors": LearnedCache(VARIANT, (1,), 2).eval()}


def publish(url, seed=0):
    tensors = {"said": {"x": torch.full((3,), float(seed))}}
    return Store(url).publish(PLAN, caches(seed), tensors=tensors)


def elsewhere(url, name) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system, and the path of what the store has there."""
    system, root = fsspec.url_to_fs(url)
    return system, f"{root}/{name}"


def fail(*_, **__):
    raise OSError("the network is down")


@pytest.fixture
def cut_off(url, monkeypatch):
    """Called: from now on nothing is read or written there."""

    def cut():
        kind = type(fsspec.url_to_fs(url)[0])
        for name in ("cat_file", "get_file", "find", *WRITES):
            monkeypatch.setattr(kind, name, fail)

    return cut


class Stopped(BaseException):
    """As a process is that is killed: nothing of it runs any more."""


def stopping_at(step, url, patch, error):
    """Whatever is written there, the `step`-th writing is not done, nor anything after it."""
    kind, done = type(fsspec.url_to_fs(url)[0]), 0

    def counted(function):
        def run(*args, **more):
            nonlocal done
            done += 1
            if done >= step:
                raise error
            return function(*args, **more)

        return run

    for name in WRITES:
        patch.setattr(kind, name, counted(getattr(kind, name)))
    return lambda: done


@pytest.mark.parametrize("error", [Stopped(), OSError("no more")], ids=["killed", "refused"])
def test_publishing_that_ends_at_any_write_leaves_one_whole_version(url, other_node, error):
    publish(url, 1)
    step, found = 1, []
    while True:
        with pytest.MonkeyPatch.context() as patch:
            done = stopping_at(step, url, patch, error)
            try:
                publish(url, 2)
                break
            except (Stopped, ArtifactError):
                assert done() >= step
        for node in ("there", f"new-{step}"):
            other_node(node)
            version = Store(url).current()
            version.load(0)
            assert version.tensors("said")["x"][0] == (1 if version.number == 1 else 2)
            for number in Store(url).versions():
                Store(url).open(number)
        found.append(version.number)
        step += 1
    assert step > 5 and found == sorted(found) and found[0] == 1
    assert Store(url).current().number > 1


def test_a_copy_is_brought_once_and_serves_all_processes_of_a_node(url, other_node, monkeypatch):
    publish(url)
    other_node()
    brought, kind = [], type(fsspec.url_to_fs(url)[0])
    get_file = kind.get_file
    monkeypatch.setattr(
        kind, "get_file", lambda *args, **of: brought.append(args[1]) or get_file(*args, **of)
    )
    assert Store(url).current().number == 1
    assert sorted(name.rpartition("/")[2] for name in brought) == [
        "early.safetensors",
        "plan.json",
        "said",
    ]
    Store(url).current().load(0)
    assert len(brought) == 3
    assert [f for f in Store(url).folder.rglob(".*") if f.name != ".lock"] == []


def test_what_was_altered_is_refused_and_the_last_good_version_is_served(url, other_node, caplog):
    publish(url, 1)
    publish(url, 2)
    system, path = elsewhere(url, "versions/2/early.safetensors")
    system.pipe_file(path, system.cat_file(path)[:-1] + b"?")
    other_node()
    with pytest.raises(ArtifactError, match=r"early\.safetensors differs from its checksum"):
        Store(url).open(2)
    assert Store(url).current().number == 1
    assert "serving cache version 1" in caplog.text


@pytest.mark.parametrize("manifest", [b"", b'{"plan.js', b"[]", b'{"../../x": "1"}'])
def test_a_node_keeps_its_good_copy_of_what_is_damaged_later(url, other_node, manifest):
    publish(url)
    system, path = elsewhere(url, "versions/1/manifest.json")
    system.pipe_file(path, manifest)
    Store(url).current().load(0)
    other_node()
    with pytest.raises(ArtifactError, match="manifest of versions/1 is half-written or altered"):
        Store(url).current()


def test_a_file_that_is_missing_is_named(url, other_node):
    publish(url)
    system, path = elsewhere(url, "versions/1/plan.json")
    system.rm(path)
    other_node()
    with pytest.raises(ArtifactError, match=r"versions/1/plan\.json is missing"):
        Store(url).open(1)


@pytest.mark.parametrize("told", [b"", b"{", b'{"version": null}', b"[1]"])
def test_where_what_names_the_version_is_damaged_the_newest_good_one_is_served(
    url, other_node, told
):
    publish(url, 1)
    publish(url, 2)
    system, path = elsewhere(url, "current")
    system.pipe_file(path, told)
    other_node()
    assert Store(url).current().number == 2


def test_a_copy_that_is_damaged_here_is_brought_anew(url):
    publish(url)
    file = Store(url).folder / "versions" / "1" / "early.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    Store(url).current().load(0)


def test_a_node_serves_its_copy_while_the_store_does_not_answer(url, cut_off, other_node):
    publish(url, 1)
    cut_off()
    assert Store(url).current().number == 1 and Store(url).versions() == [1]
    with pytest.raises(ArtifactError, match="cannot be reached"):
        publish(url, 2)
    assert Store(url).versions() == [1]
    other_node()
    with pytest.raises(ArtifactError, match="no usable cache version"):
        Store(url).current()


def test_another_store_in_the_same_place_is_not_taken_for_the_copy(url):
    publish(url, 1)
    Store(url).current()
    system, path = elsewhere(url, "")
    system.rm(path.rstrip("/"), recursive=True)
    publish(url, 2)
    assert Store(url).current().tensors("said")["x"][0] == 2


def test_going_back_and_removing_reach_other_nodes(url, other_node):
    for seed in (1, 2, 3):
        publish(url, seed)
    other_node()
    assert Store(url).current().number == 3
    Store(url).make_current(1)
    other_node("home")
    assert Store(url).current().number == 1
    Store(url).remove({2, 1})  # never the current one
    other_node()
    assert Store(url).versions() == [1, 3]
    with pytest.raises(ArtifactError, match="versions/2"):
        Store(url).open(2)


def test_of_two_that_want_the_same_number_one_gets_it(url, monkeypatch):
    publish(url, 1)
    seen = publication.there

    def another_comes(remote):
        found = seen(remote)
        monkeypatch.setattr(publication, "there", seen)
        publish(url, 2)
        return found

    monkeypatch.setattr(publication, "there", another_comes)
    with pytest.raises(ArtifactError, match="somebody else publishes version 2"):
        publish(url, 3)
    assert Store(url).versions() == [1, 2]
    assert Store(url).current().tensors("said")["x"][0] == 2


@pytest.mark.parametrize("moment", ["push", "make_current"])
def test_who_is_overtaken_while_publishing_says_so(url, monkeypatch, moment):
    publish(url, 1)
    then = getattr(publication, moment)

    def overtaken(*args):
        monkeypatch.setattr(publication, moment, then)
        publish(url, 3)
        return then(*args)

    monkeypatch.setattr(publication, moment, overtaken)
    with pytest.raises(ArtifactError, match="theirs is served"):
        publish(url, 2)
    assert Store(url).current().tensors("said")["x"][0] == 3


def test_who_writes_last_wins_and_the_other_says_so(url, monkeypatch):
    publish(url, 1)
    kind = type(Store(url).mirror.remote)
    write = kind.write

    def both(remote, name, data):
        write(remote, name, data)
        if name == "current":
            write(remote, name, b'{"version": 1}\n')

    monkeypatch.setattr(kind, "write", both)
    with pytest.raises(ArtifactError, match="theirs is served"):
        publish(url, 2)
    assert Store(url).current().number == 1


def test_two_who_both_believe_to_create_an_object_find_out(url, monkeypatch):
    """Where a file system has no such thing as creating: it overwrites."""
    monkeypatch.setattr(
        type(Store(url).mirror.remote),
        "_create",
        lambda self, path, data, private: self._fs.pipe_file(path, b"another's"),
    )
    with pytest.raises(ArtifactError, match="somebody else publishes"):
        publish(url)


def test_what_a_publisher_has_left_is_removed_when_it_is_old(url):
    publish(url, 1)
    system, path = elsewhere(url, "versions/2")
    for at in (0.0, 1e12):
        system.makedirs(path, exist_ok=True)
        system.pipe_file(f"{path}/claim", json.dumps({"at": at}).encode())
        publish(url, 2)
        assert system.exists(path) == (at > 0)
    assert Store(url).versions() == [1, 3, 4]


def test_a_folder_and_a_store_elsewhere_are_copies_of_each_other(tmp_path, other_node):
    store = Store(tmp_path / "folder")
    store.publish(PLAN, caches(1))
    url = f"file://{store.folder}"
    assert Store(url).current().number == 1
    assert Store(url).publish(PLAN, caches(2)).number == 2
    assert Store(store.folder).current().number == 2
    copy = shutil.copytree(store.folder, tmp_path / "copied")
    assert Store(copy).publish(PLAN, caches(3)).number == 3


def test_secrets_are_made_once_and_are_for_their_owner_alone(url, other_node):
    with pytest.raises(FileNotFoundError):
        secret(url, "key")
    make_once(url, "key", lambda: "first")
    other_node()
    make_once(url, "key", lambda: "second")
    assert secret(url, "key") == "first"
    system, path = elsewhere(url, "key")
    of_folder = [path] if url.startswith("file:") else []
    for file in (Store(url).folder / "key", *of_folder):
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert system.cat_file(path) == b"first"


@pytest.mark.parametrize("url", ["memory"], indirect=True)
def test_commands_build_there_and_nodes_find_the_graphs(url, other_node, monkeypatch):
    args = ["--model", "tests.tiny:tiny"]
    commands = (
        ["cold", *args, "--cut-points", "input,stem", "--out", url],
        ["export", "--store", url],
    )
    for command in (*commands, ["inspect", *args, "--json", "--store", url]):
        ran = CliRunner().invoke(cli, command)
        assert ran.exit_code == 0, ran.output
        other_node(command[0])
        monkeypatch.setattr(exporting, "make", None)  # they are there
    plan = Store(url).current().plan
    for stage in plan.stages():
        if not stage.is_lookup:
            partition_engine(url, plan, stage, "onnxruntime", 1, "cpu")

    record = read(url, plan).partitions["Partition0"]
    system, graphs = elsewhere(url, "graphs")
    (file,) = (name for name in system.find(graphs) if name.endswith(record.file))
    system.pipe_file(file, b"altered")
    other_node("later")
    with pytest.raises(ArtifactError, match="differs from its checksum"):
        read(url, plan)


@pytest.mark.parametrize(
    "url, why", [("s3://bucket/store", "s3fs"), ("nothing://x", "nothing:// is none of")]
)
def test_a_protocol_that_cannot_be_had_is_named(url, why):
    if why == "s3fs" and find_spec("s3fs"):
        pytest.skip("it can be had here")
    with pytest.raises(ArtifactError, match=why):
        Store(url)
