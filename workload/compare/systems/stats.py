"""What the systems of this project that are served say of themselves."""

import time
from collections.abc import Mapping
from typing import Any

import click
import httpx

from workload.compare.systems.catalogue import SYSTEMS

GUARD_S = 60.0
TIMEOUT_S = 30.0


def stats(urls: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The `/stats` of each system with late binding, without its plan."""
    found = {}
    for name, url in urls.items():
        if not SYSTEMS[name].late_binding:
            continue
        try:
            said = httpx.get(f"{url}/stats", timeout=TIMEOUT_S).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            said = {"error": repr(error)}
        said.pop("plan", None)
        found[name] = said
    return found


def wait_for_guards(urls: Mapping[str, str]) -> dict[str, bool]:
    """Whether the caches of each system with late binding are on, after a bounded time without
    requests."""
    waiting = {name for name in urls if SYSTEMS[name].late_binding}
    on = dict.fromkeys(sorted(waiting), False)
    deadline = time.monotonic() + GUARD_S
    while waiting and time.monotonic() < deadline:
        for name, said in stats({name: urls[name] for name in waiting}).items():
            if said.get("guard", {}).get("caches") == "serve":
                on[name] = True
                waiting.remove(name)
        if waiting:
            time.sleep(1)
    for name in waiting:
        click.echo(f"{name}: guard off after {GUARD_S:.0f} s", err=True)
    return on
