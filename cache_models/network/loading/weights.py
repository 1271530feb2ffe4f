"""From a file of weights into a module, whatever was wrapped around the module when it was saved.

Names match a module's when they do so after a prefix (`model.`, `backbone.`) or without the parts
that DataParallel and torch.compile put between (`module`, `_orig_mod`). The values are copied a
part at a time, so that they are never in memory twice.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from cache_models.errors import ModelReferenceError
from cache_models.network.loading.checkpoint import Opener, StateDict, open_file

WRAPPERS = {"module", "_orig_mod"}
"""Names that DataParallel and torch.compile give to what they wrap."""
OPTIONAL = "num_batches_tracked"
"""Of batch norms; old files lack it, and no answer depends on it."""
PART_BYTES = 2**26
"""Of a file that may be in memory beside the module."""
SHOWN = 3
"""Names of a kind in an error."""


def load_weights(file: Path, key: str | None = None) -> dict[str, Tensor]:
    """A file's state dict, in memory, for a factory that has to change it before it fits; else
    `load_into` takes half the memory.

    Args:
        key: of the state dict in a checkpoint that holds several.

    Raises:
        ModelReferenceError: it cannot be read, or no key says which is meant.
    """
    states = _named(open_file(file), str(file), key)
    key = _only(list(states), f"{file} holds several state dicts")
    state: dict[str, Tensor] = {}
    _in_parts(
        partial(open_file, file),
        key,
        {name: name for name in states[key]},
        lambda part: state.update({name: value.clone() for name, value in part.items()}),
    )
    return state


def load_into(module: nn.Module, file: Path, key: str | None = None) -> None:
    """Load a file's weights into `module`; half precision becomes the module's own.

    Args:
        key: of the state dict in a checkpoint; by default the one that fits.

    Raises:
        ModelReferenceError: it cannot be read, or does not fit; names a few of the weights that
            are missing, too many or of another shape.
    """
    opener = partial(open_file, file)
    states = opener()
    key, names = fitting(module, states, str(file), key)
    copy_into(module, opener, key, names)


def fitting(
    module: nn.Module, states: Mapping[str, StateDict], source: str, key: str | None = None
) -> tuple[str, dict[str, str]]:
    """The key of the state dict that fits `module`, and its name of each of the module's tensors.

    Raises:
        ModelReferenceError: none does, or several do.
    """
    wanted, states = module.state_dict(), _named(states, source, key)
    found = {of: names for of, state in states.items() if (names := _matched(wanted, state))}
    if not found:
        largest = max(states, key=lambda of: len(states[of]))
        raise ModelReferenceError(_mismatch(wanted, states[largest], source))
    key = _only(list(found), f"{source} holds several state dicts that fit")
    state, names = states[key], found[key]
    if others := [to for to, of in names.items() if state[of].shape != wanted[to].shape]:
        shapes = {to: (tuple(state[names[to]].shape), tuple(wanted[to].shape)) for to in others}
        said = _few([f"{to} is {got}, not {shape}" for to, (got, shape) in shapes.items()])
        heads = {(got[:1], shape[:1]) for got, shape in shapes.values()}
        hint = f" Is it num_classes={next(iter(heads))[0][0]}?" if len(heads) == 1 else ""
        raise ModelReferenceError(f"{source} does not fit the module: {said}.{hint}")
    return key, names


def copy_into(module: nn.Module, opener: Opener, key: str, names: Mapping[str, str]) -> None:
    """Copy values into `module`, by its own names of them, from those in the state dict `key`."""
    versions = module.state_dict()._metadata  # type: ignore[attr-defined]

    def take(part: StateDict) -> None:
        of_now = OrderedDict(part)
        of_now._metadata = versions  # type: ignore[attr-defined]
        module.load_state_dict(of_now, strict=False)

    _in_parts(opener, key, names, take)


def _in_parts(
    opener: Opener, key: str, names: Mapping[str, str], take: Callable[[StateDict], object]
) -> None:
    """Hand `take` the tensors a part at a time. For each the file is opened anew, since what has
    been read of it stays in memory as long as it is open."""
    left = list(names.items())
    while left:
        state, part, size = opener()[key], {}, 0
        while left and size < PART_BYTES:
            to, of = left.pop()
            part[to] = state[of]
            size += part[to].nbytes
        take(part)


def _matched(wanted: StateDict, state: StateDict) -> dict[str, str] | None:
    """The name in `state` of each that is wanted; None unless there is one way to find all."""
    for names in ({name: name for name in state}, _bare(state)):
        prefixes = [p for p in _prefixes(wanted, names) if not _missing(wanted, names, p)]
        if len(prefixes) == 1 and not _unexpected(wanted, names, prefixes[0]):
            return {to: names[prefixes[0] + to] for to in wanted if prefixes[0] + to in names}
    return None


def _prefixes(wanted: Mapping, names: Mapping) -> list[str]:
    """Those under which the longest of the wanted names is found."""
    longest = max((name for name in wanted if not name.endswith(OPTIONAL)), key=len, default="")
    return [
        name[: len(name) - len(longest)]
        for name in names
        if name == longest or name.endswith(f".{longest}")
    ]


def _missing(wanted: Mapping, names: Mapping, prefix: str) -> list[str]:
    return [to for to in wanted if prefix + to not in names and not to.endswith(OPTIONAL)]


def _unexpected(wanted: Mapping, names: Mapping, prefix: str) -> list[str]:
    """Under the prefix; beside it there may be more: a loss's weights, say."""
    under = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return [name for name in under if name not in wanted]


def _mismatch(wanted: StateDict, state: StateDict, source: str) -> str:
    names = _bare(state)
    prefixes = [p for p in _prefixes(wanted, names) if not _missing(wanted, names, p)]
    if len(prefixes) > 1:
        several = ", ".join(repr(prefix) for prefix in prefixes[:SHOWN])
        return f"{source} holds the module's weights under {several}. Save those that are meant."
    prefix = min(
        {"", *(f"{name.partition('.')[0]}." for name in names)},
        key=lambda prefix: (len(_missing(wanted, names, prefix)), len(prefix)),
    )
    kinds = {
        "missing": _missing(wanted, names, prefix),
        "too many": [prefix + name for name in _unexpected(wanted, names, prefix)],
    }
    said = [f"{kind}: {_few(found)}" for kind, found in kinds.items() if found]
    return f"{source} does not fit the module; {'; '.join(said)}."


def _bare(names: Iterable[str]) -> dict[str, str]:
    """By what each would be called without wrappers."""
    return {".".join(p for p in name.split(".") if p not in WRAPPERS): name for name in names}


def _few(said: list[str]) -> str:
    more = f" and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return ", ".join(said[:SHOWN]) + more


def _named(
    states: Mapping[str, StateDict], source: str, key: str | None
) -> Mapping[str, StateDict]:
    if key is not None and key not in states:
        raise ModelReferenceError(f"{source} holds no state dict {key!r}, but {_few([*states])}.")
    return states if key is None else {key: states[key]}


def _only(keys: list[str], otherwise: str) -> str:
    if len(keys) > 1:
        raise ModelReferenceError(f"{otherwise}: {_few(keys)}. Name one: key={keys[0]}.")
    return keys[0]
