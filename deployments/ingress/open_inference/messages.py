"""What a request and its answer are, whichever way they came and go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache_models.cascade import Answers
from deployments.ingress.errors import InvalidInput, RequestError

OUTPUTS = ("probabilities", "label")


@dataclass(frozen=True)
class WantedOutput:
    """
    Attributes:
        classes: so many of the most probable, as `probability:index:name`; 0: the tensor itself.
        binary: as bytes after the JSON; gRPC knows nothing else.
    """

    name: str
    classes: int = 0
    binary: bool = False


@dataclass(frozen=True)
class InferRequest:
    """A request that has been checked.

    Attributes:
        id: the client's own; empty for none.
        batch: as the model takes it.
        outputs: in the order in which they are wanted.
    """

    id: str
    parameters: Mapping[str, Any]
    batch: np.ndarray
    outputs: Sequence[WantedOutput]


@dataclass(frozen=True)
class OutputTensor:
    """
    Attributes:
        values: float32, or texts as objects.
    """

    name: str
    datatype: str
    values: np.ndarray
    binary: bool


@dataclass(frozen=True)
class InferResponse:
    """
    Attributes:
        parameters: each row's exit, joined by commas, the cache version, and what else is told.
        wanted: what the request asked for.
        classes: by label.
    """

    id: str
    model_name: str
    model_version: str
    parameters: Mapping[str, Any]
    wanted: Sequence[WantedOutput]
    answers: Answers
    classes: Sequence[str]

    @property
    def size(self) -> int:
        """Numbers in it, by which it takes time to write."""
        return self.answers.probabilities.size

    def outputs(self) -> list[OutputTensor]:
        """The tensors, in the order in which they are wanted."""
        return [_output(output, self.answers, self.classes) for output in self.wanted]


def wanted(
    asked: Sequence[tuple[str, Mapping[str, Any]]], binary: bool = False
) -> list[WantedOutput]:
    """The outputs that a request names, or all.

    Args:
        asked: names and parameters.
        binary: whether an output is that says nothing of it.

    Raises:
        RequestError: there is no such output, or not like that.
    """
    if not asked:
        return [WantedOutput(name, binary=binary) for name in OUTPUTS]
    names = [name for name, _ in asked]
    for i, name in enumerate(names):
        if name not in OUTPUTS:
            raise InvalidInput(f"outputs: no output {name!r}; there are {list(OUTPUTS)}")
        if name in names[:i]:
            raise InvalidInput(f"outputs: {name!r} stands there twice")
    return [_wanted(name, parameters, binary) for name, parameters in asked]


def _wanted(name: str, parameters: Mapping[str, Any], binary: bool) -> WantedOutput:
    refuse_shared_memory(parameters, f"the output {name!r}")
    classes = parameters.get("classification")
    if classes is not None:
        _check_kind(classes, int, f"outputs: {name!r}: parameters.classification")
        if name != "probabilities" or classes < 1:
            raise InvalidInput(
                f"outputs: {name!r}: parameters.classification is {classes}; it may be a number "
                f"of classes from 1, for 'probabilities' alone"
            )
    as_bytes = parameters.get("binary_data")
    if as_bytes is not None:
        _check_kind(as_bytes, bool, f"outputs: {name!r}: parameters.binary_data")
        binary = as_bytes
    return WantedOutput(name, classes or 0, binary)


def flag(parameters: Mapping[str, Any], name: str) -> bool:
    """A parameter that is true or false, or absent.

    Raises:
        RequestError: it is something else.
    """
    value = parameters.get(name)
    if value is None:
        return False
    _check_kind(value, bool, f"parameters.{name}")
    return value


def _check_kind(value: object, kind: type, field: str) -> None:
    if type(value) is not kind:
        may_be = "true or false" if kind is bool else "a whole number"
        raise RequestError(f"{field} is {value!r:.80}; it may be {may_be}")


def refuse_shared_memory(parameters: Mapping[str, Any], of: str) -> None:
    if "shared_memory_region" in parameters:
        raise InvalidInput(
            f"{of} is to be in shared memory, which is not served; send and read tensors in the "
            f"request and its answer"
        )


def use_caches(parameters: Mapping[str, Any]) -> bool:
    """The parameter `cache`, `on` unless it says `off`."""
    return parse_cache(parameters.get("cache", "on"), "parameters.cache")


def parse_cache(value: object, field: str) -> bool:
    if value not in ("on", "off"):
        raise InvalidInput(f"{field} is {value!r:.80}; it may be 'on' or 'off'")
    return value == "on"


def _output(asked: WantedOutput, answers: Answers, classes: Sequence[str]) -> OutputTensor:
    if asked.name == "label":
        texts = np.array([classes[i] for i in answers.class_ids], object)
        return OutputTensor("label", "BYTES", texts, asked.binary)
    if asked.classes:
        texts = _most_probable(answers.probabilities, classes, asked.classes)
        return OutputTensor(asked.name, "BYTES", texts, asked.binary)
    values = answers.probabilities.astype(np.float32, copy=False)
    return OutputTensor(asked.name, "FP32", values, asked.binary)


def _most_probable(probabilities: np.ndarray, classes: Sequence[str], count: int) -> np.ndarray:
    """`(B, count)` texts, the most probable class first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    rows = [
        [f"{scores[i]:f}:{i}:{classes[i]}" for i in best]
        for scores, best in zip(probabilities, order, strict=True)
    ]
    return np.array(rows, object)
