"""Publish to a store that lies elsewhere, so that readers see a version whole or not at all.

Files lie there as they do in a folder, so either can be copied to the other.

1. `versions/4/claim` is created where there is none: of two who publish at once one has it.
2. The version's files are written, and its manifest when they are all there.
3. `current`, the one small object that names the version to serve, is written, unless it is not
   what it was at the start: then somebody else has published meanwhile, and that stays.

Between looking and writing in 3, which takes milliseconds, somebody may come in between. Then the
last to write wins; the other says so, unless it had ended before.
"""

import contextlib
import json
import secrets
import time
from pathlib import Path
from typing import NamedTuple

from cache_models.errors import ArtifactError
from cache_models.store.checksums import ABANDONED_S
from cache_models.store.remote import Remote

VERSIONS, MANIFEST, CURRENT, CLAIM = "versions", "manifest.json", "current", "claim"


class Claim(NamedTuple):
    """The right to publish a version.

    Attributes:
        current: what named the version to serve when it was given; None for nothing.
    """

    number: int
    current: bytes | None


def there(remote: Remote) -> tuple[set[int], set[int]]:
    """Numbers of versions that are there whole, and of all that somebody has begun."""
    found = [name.split("/") for name in remote.names(VERSIONS)]
    whole = {int(n) for n, *rest in found if n.isdigit() and rest == [MANIFEST]}
    return whole, {int(n) for n, *rest in found if n.isdigit()}


def claim(remote: Remote) -> Claim:
    """The right to publish the next version.

    Raises:
        ArtifactError: somebody else has it, or, here and below, the store does not answer.
    """
    whole, begun = there(remote)
    for number in begun - whole:
        _remove_abandoned(remote, number)
    number, current = max(begun, default=0) + 1, _current(remote)
    mark = json.dumps({"at": time.time(), "by": secrets.token_hex(8)}).encode()
    try:
        remote.create(f"{VERSIONS}/{number}/{CLAIM}", mark)
    except FileExistsError:
        raise ArtifactError(
            f"somebody else publishes version {number} to {remote.url} at this moment, so this one "
            f"is not published: try again when that is there"
        ) from None
    return Claim(number, current)


def _remove_abandoned(remote: Remote, number: int) -> None:
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        mark = json.loads(remote.read(f"{VERSIONS}/{number}/{CLAIM}"))
        if time.time() - mark["at"] > ABANDONED_S:
            remote.remove(f"{VERSIONS}/{number}")


def push(remote: Remote, files: Path, folder: str, manifest: str) -> None:
    """Write all files of a folder there, its manifest last."""
    for file in sorted(files.iterdir()):
        if file.name != manifest:
            remote.put(file, f"{folder}/{file.name}")
    remote.write(f"{folder}/{manifest}", (files / manifest).read_bytes())


def withdraw(remote: Remote, given: Claim) -> None:
    """Remove what is there of a version that will not be whole, if that is possible."""
    with contextlib.suppress(ArtifactError):
        if given.number not in there(remote)[0]:
            remote.remove(f"{VERSIONS}/{given.number}")


def make_current(remote: Remote, number: int, given: Claim | None = None) -> None:
    """Name the version to serve.

    Args:
        given: the claim that it was published with.

    Raises:
        ArtifactError: somebody else has named another meanwhile, which stays.
    """
    told = naming(number)
    if given is not None and _current(remote) != given.current:
        raise _overtaken(remote, number)
    remote.write(CURRENT, told)
    if _current(remote) != told:
        raise _overtaken(remote, number)


def naming(number: int) -> bytes:
    """What `current` says of a version."""
    return (json.dumps({"version": number}) + "\n").encode()


def number_in(told: bytes) -> int:
    """Of the version that `current` names; ValueError: it does not say one."""
    try:
        return int(json.loads(told)["version"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it names no version: {error!r}") from error


def remove_version(remote: Remote, number: int) -> None:
    """Its manifest first, so that nobody takes what is left for a version."""
    remote.remove(f"{VERSIONS}/{number}/{MANIFEST}")
    remote.remove(f"{VERSIONS}/{number}")


def _current(remote: Remote) -> bytes | None:
    try:
        return remote.read(CURRENT)
    except FileNotFoundError:
        return None


def _overtaken(remote: Remote, number: int) -> ArtifactError:
    return ArtifactError(
        f"somebody else has made another version current in {remote.url} while version {number} "
        f"was published: theirs is served, and this one is kept beside it"
    )
