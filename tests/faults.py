"""Faults of disks and processes, made by the operating system where it can make them."""

import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
WRITING = {
    "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree",
}  # fmt: skip
"""Audit events of Python that change a folder; `open` does, too, with the flags to write."""


def ended_at(step: int, work: Callable[[], object], error: OSError | None) -> bool:
    """Do `work` in a process that is killed before its `step`-th change of anything on the disk,
    or, with an error, in which that fails, and all that come after it.

    Returns:
        Whether it came so far: False where it has done all that it had to do.
    """
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) != 0
    done = 0

    def change() -> None:
        nonlocal done
        done += 1
        if done >= step and error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        elif done >= step:
            raise error

    def hook(event: str, args: tuple) -> None:
        writes = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in WRITING or (writes and not str(args[0]).startswith("/dev/")):
            change()

    fsync = os.fsync
    os.fsync = lambda descriptor: (change(), fsync(descriptor))[1]
    sys.addaudithook(hook)
    try:
        work()
    except Exception:
        os._exit(1)
    os._exit(0 if done < step else 1)


def out_of_room(most_bytes: int, work: Callable[[], object], killed: bool) -> bool:
    """Do `work` in a process that may write no more than so many bytes to a file: what would be
    longer is cut there, and the writing fails, or, if `killed`, ends the process.

    Returns:
        Whether that was too few.
    """
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) != 0
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if killed else signal.SIG_IGN)
    with limited(most_bytes):
        try:
            work()
        except Exception:
            os._exit(1)
        os._exit(0)


@contextmanager
def limited(most_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    was, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (was, most))


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """A file or folder that this process may neither read nor write, whoever runs it."""
    mode, root = path.stat().st_mode, os.geteuid() == 0
    path.chmod(0)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(mode)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary one that everybody may write to, unlike pytest's, with all that comes into it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
