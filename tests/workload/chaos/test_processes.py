"""Only processes of the one server are found, and killed."""

import shutil
import subprocess

import psutil

from tests.e2e.server import wait_until
from workload.chaos.killer import Killer
from workload.chaos.processes import Processes


def started(processes: Processes, title: str) -> subprocess.Popen:
    """A process with the title that Ray gives one."""
    return subprocess.Popen(
        [title, "600"], executable=shutil.which("sleep"), env=dict(processes.environment)
    )


def test_victims_are_of_the_kinds_and_of_the_server_asked_for():
    ours, others = Processes(), Processes()
    router = started(ours, "ray::ServeReplica:gati:Router")
    trainer = started(ours, "ray::Trainer.status")
    other = started(others, "ray::ServeReplica:gati:Router")
    try:
        wait_until(lambda: set(ours.by_kind()) == {"router", "trainer"}, "they have no titles")
        wait_until(lambda: set(others.by_kind()) == {"router"}, "it has no title")
        with Killer(ours, ["router"], every_s=0.1, after_s=0, for_s=60, seed=0) as killer:
            wait_until(lambda: killer.kills, "nobody is killed")
        assert [kill.kind for kill in killer.kills] == ["router"]
        assert router.wait(10) == -9
        assert psutil.pid_exists(trainer.pid) and other.poll() is None
    finally:
        for process in (router, trainer, other):
            process.kill()
            process.wait()
