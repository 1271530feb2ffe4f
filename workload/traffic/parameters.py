"""What a command line names with parameters, such as `locality:classes=3,mean_stay=2000`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from workload.errors import ParameterError


def parse(what: str, text: str, known: Mapping[str, Callable]) -> tuple[str, dict[str, Any]]:
    """The name in `text`, and the parameters for `known[name]`.

    Parameters are those arguments of the callable that have a default (but `seed`), whose type
    (`int`, `float` or `str`) the value must have; numbers must be above 0.

    Args:
        what: is named, for messages: `stream`.

    Raises:
        ParameterError: says what it may be.
    """
    name, _, rest = text.partition(":")
    if name not in known:
        raise ParameterError(f"{what} {name!r} is none of {', '.join(known)}")
    defaults = {
        p.name: p.default
        for p in inspect.signature(known[name]).parameters.values()
        if p.default is not p.empty and p.name != "seed"
    }
    forms = {int: "a whole number above 0", float: "a number above 0", str: "a word"}
    found = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in defaults:
            raise ParameterError(
                f"{what} {name}: {part!r} should be <name>=<value>, the name one of "
                f"{', '.join(defaults) or 'none'}"
            )
        kind = type(defaults[key])
        try:
            found[key] = kind(value)
            if kind is not str and not 0 < found[key] < float("inf"):
                raise ValueError
        except ValueError as error:
            raise ParameterError(
                f"{what} {name}: {key} is {value!r}; it may be {forms[kind]}"
            ) from error
    return name, found
