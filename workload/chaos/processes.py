"""The processes of one server on this machine, by what they do.

All of them inherit a variable of the environment whose value no other process has.
"""

import re
import secrets
from collections import defaultdict
from collections.abc import Mapping

import psutil

HAPROXY = "haproxy"
KINDS = {
    "partition": r"ray::ServeReplica:.+:Partition\d",
    "lookup": r"ray::ServeReplica:.+:Lookup\d",
    "router": r"ray::ServeReplica:.+:Router",
    "trainer": r"ray::Trainer",
    "proxy": r"ray::(HAProxyManager|ProxyActor)",
    "controller": r"ray::ServeController",
    HAPROXY: r".*/haproxy$",
    "node": r".*/raylet$",
}
"""What their titles are like, as Ray sets them."""
MARK = "GATI_CHAOS"


class Processes:
    """
    Args:
        variable, value: of the environment, which all of them have.
    """

    def __init__(self, variable: str = MARK, value: str | None = None):
        self.variable, self.value = variable, value or secrets.token_hex(8)

    @property
    def environment(self) -> Mapping[str, str]:
        """For who starts the server."""
        return {self.variable: self.value}

    def all(self) -> list[psutil.Process]:
        """That live."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def by_kind(self) -> dict[str, list[psutil.Process]]:
        """Of those that live; what is of no kind is left out."""
        found = defaultdict(list)
        for process in self.all():
            if kind := _kind(process):
                found[kind].append(process)
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.environ().get(self.variable) == self.value
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:  # it has ended, or is another user's
            return False


def _kind(process: psutil.Process) -> str | None:
    try:
        title = (process.cmdline() or [""])[0]
    except psutil.Error:
        return None
    return next((kind for kind, like in KINDS.items() if re.match(like, title)), None)
