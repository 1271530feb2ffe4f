"""The trainer's file, kept where the store lies, so that it is there again when the trainer starts
on another node. SQLite wants a disk of the node's own.

    <store>/trainer.json            state as it is now, and which copy of the file is the last
    <store>/trainer/<id>.sqlite     that copy, some minutes old

The copy is written first, and `trainer.json`, the one small object, last. State is told at once:
what operators want, alarms, and tests of the promise before they read a sample. So who starts
elsewhere may miss the last samples, and no test that was spent.

Every `trainer.json` has an id, and the file knows those that it has written. The file of a node is
taken if it wrote what is there now, for then it is at least as new; otherwise another node's
trainer has, and its copy is brought.
"""

import hashlib
import logging
import os
import secrets
import tempfile
import threading
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from cache_models.errors import ArtifactError, briefly
from cache_models.follow.database import Database
from cache_models.follow.journal import Journal
from cache_models.follow.tables import ENDED, prepare
from cache_models.store.checksums import sha256
from cache_models.store.remote import Remote
from cache_models.store.versions import Store

TOLD, COPIES = "trainer.json", "trainer"
IDS, MOST_IDS = "told", 100
"""Name in the file's state of the ids that it has written, and how many are kept."""
OF_SAMPLES = "build", "tests", ENDED
"""State that is of samples: without them it would be wrong, or in vain."""

logger = logging.getLogger(__name__)


class Copy(BaseModel):
    """Of the file, in the store."""

    name: str
    sha256: str


class Told(BaseModel):
    """What `trainer.json` says.

    Attributes:
        checksum: of all else; those that an earlier release wrote have none.
    """

    format: Literal[1] = 1
    id: str
    copy_of_file: Copy | None
    state: dict[str, Any]
    checksum: str | None = None

    def checked(self) -> "Told":
        """With its checksum."""
        rest = self.model_dump_json(exclude={"checksum"}).encode()
        return self.model_copy(update={"checksum": hashlib.sha256(rest).hexdigest()})


class KeptElsewhere:
    """What keeps it there, from a thread of its own, as long as the process lives.

    Args:
        store: that lies elsewhere.
        log: in `file`, once `restore` has seen to that.
        every_s: after which a copy is made, if anything has come.

    Raises:
        ArtifactError: as of `tell`; a trainer that had the file before has come in between.
    """

    def __init__(self, store: Store, log: Journal, file: Path, every_s: float):
        assert store.mirror is not None
        self._remote, self._log, self._file = store.mirror.remote, log, file
        told = read_told(self._remote)
        self._saved: tuple[int, ...] | None = None
        self._saving, self._telling = threading.Lock(), threading.Lock()
        self._wanted = threading.Event()
        self.tell()  # so that a trainer that another node still has writes no more
        if told is None:
            self._wanted.set()
        threading.Thread(target=self._save_for_ever, args=(every_s,), daemon=True).start()

    def soon(self) -> None:
        """Make a copy as soon as there is time."""
        self._wanted.set()

    def tell(self) -> None:
        """State, as it is now.

        Raises:
            ArtifactError: here and below: the store does not answer, or another trainer keeps its
                file there.
        """
        self._tell()

    def _tell(self, copy: Copy | None = None) -> None:
        """And that there is another copy, if there is."""
        with self._telling:
            told = read_told(self._remote)
            ids = self._log.state(IDS, [])
            if told is not None and told.id not in ids:
                raise ArtifactError(
                    f"another trainer keeps its file in {self._remote.url}, so this one's is not "
                    f"kept: is a second application served from that store?"
                )
            new = secrets.token_hex(8)
            self._log.set_state(IDS, [*ids[1 - MOST_IDS :], new])
            state = {name: value for name, value in self._log.states().items() if name != IDS}
            last = copy or (told and told.copy_of_file)
            says = Told(id=new, copy_of_file=last, state=state).checked()
            self._remote.write(TOLD, says.model_dump_json().encode())

    def save(self) -> None:
        """All of it, unless nothing has come or gone since it was last; older copies go."""
        with self._saving:
            counts = self._log.counts()
            if counts == self._saved:
                return
            name = f"{COPIES}/{secrets.token_hex(8)}.sqlite"
            partial = self._file.with_name(f".{Path(name).name}")
            try:
                self._log.backup(partial)
                copy = Copy(name=name, sha256=sha256(partial))
                self._remote.put(partial, name, private=True)
            finally:
                partial.unlink(missing_ok=True)
            self._tell(copy)
            self._saved = counts
            for other in self._remote.names(COPIES):
                if f"{COPIES}/{other}" != name:
                    self._remote.remove(f"{COPIES}/{other}")

    def _save_for_ever(self, every_s: float) -> None:
        while True:
            self._wanted.wait(every_s)
            self._wanted.clear()
            try:
                self.save()
            except Exception:  # the next time may do better; the trainer does not wait for it
                logger.exception("the trainer's file is not kept in %s", self._remote.url)


def restore(store: Store, file: Path) -> None:
    """Bring the trainer's file to this node, unless it is here and as new.

    One that lies in the store itself, since it was served from a folder on one node, is taken over;
    so is, when it is served so again, what several nodes have left.

    Raises:
        ArtifactError: the store does not answer, so nobody knows which tests have been spent; or
            what it says is altered.
    """
    if store.mirror is not None:
        _restore(store.mirror.remote, file)
    elif (store.folder / TOLD).exists():
        remote = Remote(f"file://{store.folder.absolute()}")
        _restore(remote, file)
        remote.remove(TOLD)  # from now on the file is what counts
        remote.remove(COPIES)


def _restore(remote: Remote, file: Path) -> None:
    told = read_told(remote)
    ids = Journal(_opened(file)).state(IDS, []) if file.exists() else []
    if told is not None and told.id in ids:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, made = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    os.close(descriptor)
    partial = Path(made)
    try:
        if told is not None:
            _bring(remote, told, partial)
        elif not _bring_old(remote, file.name, partial) and not ids:
            return  # the first that is there; or else somebody has deleted it there, to begin anew
        _without_log(file)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
        _without_log(partial)
    logger.warning("the trainer goes on from what %s has of it", remote.url)


def _bring(remote: Remote, told: Told, file: Path) -> None:
    copy, state = told.copy_of_file, told.state
    whole = copy is not None and _brought(remote, copy.name, file)
    if copy is not None and (not whole or sha256(file) != copy.sha256):
        logger.error("%s/%s is missing or damaged: samples are lost", remote.url, copy.name)
        whole = False
    if not whole:
        file.write_bytes(b"")
        state = {name: value for name, value in state.items() if name not in OF_SAMPLES}
    database = _opened(file)
    log = Journal(database)
    with log.transaction():
        for name, value in {**state, IDS: [told.id]}.items():
            log.set_state(name, value)
    database.close()


def _bring_old(remote: Remote, name: str, file: Path) -> bool:
    """As it lay in a folder, with what had not been written into it yet."""
    if not _brought(remote, name, file):
        return False
    _brought(remote, f"{name}-wal", file.with_name(f"{file.name}-wal"))
    _opened(file).close()
    return True


def _brought(remote: Remote, name: str, file: Path) -> bool:
    try:
        remote.get(name, file)
    except FileNotFoundError:
        return False
    return True


def _opened(file: Path) -> Database:
    return Database(file, prepare)


def _without_log(file: Path) -> None:
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def read_told(remote: Remote) -> Told | None:
    """None where no trainer has told anything.

    Raises:
        ArtifactError: as of `restore`.
    """
    try:
        told = Told.model_validate_json(remote.read(TOLD))
        if told.checksum is not None and told != told.checked():
            raise ValueError("it differs from its checksum")
        return told
    except FileNotFoundError:
        return None
    except ValueError as error:  # pydantic's are, too
        raise ArtifactError(
            f"{remote.url}/{TOLD} is altered ({briefly(error)}): restore it, or delete it, after "
            f"which caches are learned and tested anew"
        ) from error
