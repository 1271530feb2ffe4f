"""Which systems there are, in the order of the table, and what each needs."""

from dataclasses import dataclass
from importlib.util import find_spec

RAY, OWN, NONE = "ray", "own", "none"
WHOLE, CASCADE, ORACLE = "in-process", "in-process cascade", "oracle"
"""What is asked without any server; named here, where nothing loads PyTorch."""


@dataclass(frozen=True)
class System:
    """
    Attributes:
        server: `ray` is an application of the one Serve, `own` a process of its own, `none` runs
            in the comparison's own process.
        package: that it needs, of the extra `compare`.
        late_binding: whether it is this project's application.
        retrains: whether that runs rounds.
        runs_on: whether every request is computed to the base DNN's end, however it was answered.
        by_default: whether it is compared where nobody says which are.
    """

    name: str
    server: str
    about: str
    package: str | None = None
    late_binding: bool = False
    retrains: bool = False
    runs_on: bool = False
    by_default: bool = True


SYSTEMS = {
    system.name: system
    for system in (
        System("plain", RAY, "whole base DNN in one Ray Serve deployment"),
        System("eager", RAY, "the same, the module as it is, in PyTorch"),
        System("litserve", OWN, "whole base DNN in LitServe", "litserve"),
        System("mosec", OWN, "whole base DNN in mosec", "mosec"),
        System("gati", RAY, "this system, caches from the plan", late_binding=True),
        System(
            "gati-retraining",
            RAY,
            "this system with its defaults",
            late_binding=True,
            retrains=True,
        ),
        System(
            "gati-unbatched",
            RAY,
            "this system, every request computed by itself",
            late_binding=True,
            by_default=False,
        ),
        System(
            "gati-router",
            RAY,
            "this system, the cache at the input in the router",
            late_binding=True,
            by_default=False,
        ),
        System("entropy", RAY, "this system, caches trusted by entropy", late_binding=True),
        System(
            "apparate",
            RAY,
            "the plan's predictors, trusted as Apparate tunes them, one deployment",
            runs_on=True,
            by_default=False,
        ),
        System("cascade", RAY, "small CNN, then the whole base DNN, one deployment"),
        System("int8", RAY, "whole base DNN in 8-bit integers, one deployment", by_default=False),
        System("exact", RAY, "the very same input's answer, or plain", by_default=False),
        System("hash", RAY, "an answer by perceptual hash, or plain", by_default=False),
        System("difference", RAY, "the stream's last answer, or plain", by_default=False),
        System("in-process", NONE, "no server"),
    )
}

BY_DEFAULT = [name for name, system in SYSTEMS.items() if system.by_default]


def missing(name: str) -> str | None:
    """Why a system cannot be asked for here; None where it can."""
    package = SYSTEMS[name].package
    if package and find_spec(package) is None:
        return f"{package} is not installed: pip install -e '.[compare]'"
    return None
