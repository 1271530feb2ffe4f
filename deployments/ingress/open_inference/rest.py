"""Requests and answers in JSON, whose tensors may follow it as bytes.

The numbers of a JSON tensor, which are most of the body, are read by themselves, so that no large
document holds the interpreter. Where that fails, the request is read as a whole, which names what
is wrong.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError
from pydantic_core import to_json

from deployments.ingress.errors import InvalidInput, RequestError, first_mistake
from deployments.ingress.open_inference import json_numbers, schema
from deployments.ingress.open_inference.datatypes import BINARY_ONLY, from_bytes, to_bytes
from deployments.ingress.open_inference.messages import (
    InferRequest,
    InferResponse,
    OutputTensor,
    flag,
    refuse_shared_memory,
    wanted,
)
from deployments.ingress.open_inference.tensors import Signature, as_array, of_datatype, of_input

LENGTH = "Inference-Header-Content-Length"
"""The header with the length of the JSON, if bytes follow it."""
APART = uuid.uuid4().hex
"""Stands for the numbers of a request that are read by themselves."""
MOST_WHOLE_BYTES = 1024 * 1024
"""JSON that is read as a whole, during which no other request has its turn, takes up to 0.15 s."""


class Written(NamedTuple):
    """A response.

    Attributes:
        json_bytes: its length without the bytes that follow; None if none do.
    """

    body: bytes
    json_bytes: int | None


def split(body: bytes, length: str | None) -> tuple[bytes, memoryview]:
    """The JSON, and what follows it.

    Args:
        length: the header of this name.

    Raises:
        RequestError: it is no length in the body.
    """
    if length is None:
        return body, memoryview(b"")
    if not (length.isascii() and length.isdigit() and int(length[:20]) <= len(body)):
        raise RequestError(
            f"the header {LENGTH!r} is {length[:80]!r}; it may be the length of the JSON, at most "
            f"that of the body, {len(body)}"
        )
    return body[: int(length)], memoryview(body)[int(length) :]


def parse(json: bytes, binary: memoryview, signature: Signature) -> InferRequest:
    """
    Raises:
        RequestError: this is no such request; names the field, what it got and may be.
    """
    rest, numbers = _apart(json)
    if len(rest) > MOST_WHOLE_BYTES:
        raise InvalidInput(
            f"the JSON has more than {MOST_WHOLE_BYTES} bytes besides the numbers of a tensor, "
            f"flat or nested, under the first key 'data'; send numbers, or bytes after the JSON"
        )
    try:
        request = schema.InferRequest.model_validate_json(rest)
    except ValidationError:
        request = _whole(json if len(json) <= MOST_WHOLE_BYTES else rest)
    parameters = request.parameters or {}
    asked = [(output.name, output.parameters or {}) for output in request.outputs or []]
    outputs = wanted(asked, flag(parameters, "binary_data_output"))
    sizes = _binary_sizes(request.inputs, len(binary))
    inputs: list[tuple[str, np.ndarray]] = []
    for i, (given, size) in enumerate(zip(request.inputs, sizes, strict=True)):
        with of_input(i):
            shape = signature.check(given.name, given.datatype, given.shape)
            if size is None:
                values = _numbers(json, numbers, i, given, shape)
            else:
                values = from_bytes(binary[:size], given.datatype, shape)
                binary = binary[size:]
            inputs.append((given.name, signature.taken(given.name, given.datatype, values)))
    return InferRequest(request.id or "", parameters, signature.batch(inputs), outputs)


def _binary_sizes(inputs: Sequence[schema.RequestInput], follow: int) -> list[int | None]:
    """How many of the bytes that follow are each input's; None if its values are in the JSON."""
    sizes = []
    for i, given in enumerate(inputs):
        parameters = given.parameters or {}
        with of_input(i):
            refuse_shared_memory(parameters, f"the input {given.name!r}")
            size = parameters.get("binary_data_size")
            if size is not None and given.data is not None:
                raise RequestError(
                    "inputs.0 has both data and parameters.binary_data_size; send one"
                )
            if size is None and given.data is None:
                raise RequestError(
                    f"inputs.0.data: there is none; send it, or parameters.binary_data_size, so "
                    f"many bytes after the JSON, and the JSON's length in the header {LENGTH!r}"
                )
        sizes.append(size)
    wrong = any(size is not None and (type(size) is not int or size < 0) for size in sizes)
    if wrong or sum(size or 0 for size in sizes) != follow:
        told = sizes[0] if len(sizes) == 1 else sizes
        raise RequestError(
            f"inputs: parameters.binary_data_size is {told!r:.80}; {follow} bytes follow the JSON, "
            f"whose length is in the header {LENGTH!r}"
        )
    return sizes


def _numbers(
    json: bytes, numbers: bytes, i: int, given: schema.RequestInput, shape: tuple[int, ...]
) -> np.ndarray:
    if given.datatype in BINARY_ONLY:
        raise RequestError(
            f"inputs.0.datatype: {given.datatype} comes as bytes after the JSON, not in it"
        )
    data, values = given.data or [], None
    if data == [APART] and given.datatype != "BOOL":
        values = json_numbers.read(numbers, shape)
    if values is None and data == [APART] and len(json) > MOST_WHOLE_BYTES:
        raise InvalidInput(
            f"inputs.0.data must hold numbers for datatype {given.datatype}, flat or nested as "
            f"inputs.0.shape says, {list(shape)}; or send them as bytes after the JSON"
        )
    if values is None:
        data = _whole(json).inputs[i].data or [] if data == [APART] else data
        values = as_array(data, given.datatype, shape)
    return of_datatype(values, given.datatype)


def _apart(body: bytes) -> tuple[bytes, bytes]:
    """The body with a mark for the array under its first key `data`, and the array; where that
    cannot be numbers, the body as it is.
    """
    start = body.find(b"[", body.find(b'"data"'))
    ends = [end for end in (body.find(b'"', start), body.find(b"}", start)) if end >= 0]
    end = body.rfind(b"]", start, min(ends, default=len(body))) + 1
    if not 0 <= start < end:
        return body, b""
    return b'%b["%b"]%b' % (body[:start], APART.encode(), body[end:]), body[start:end]


def _whole(body: bytes) -> schema.InferRequest:
    try:
        return schema.InferRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(first_mistake(error)) from error


def write(response: InferResponse) -> Written:
    """The response; as JSON it takes 0.1 us a probability."""
    head = to_json(
        {
            "model_name": response.model_name,
            "model_version": response.model_version,
            "id": response.id,
            "parameters": response.parameters,
        }
    )
    tensors = response.outputs()
    binary = [to_bytes(tensor.values) if tensor.binary else b"" for tensor in tensors]
    outputs = b",".join(map(_output, tensors, binary))
    json = b'%b,"outputs":[%b]}' % (head[:-1], outputs)
    if not any(tensor.binary for tensor in tensors):
        return Written(json, None)
    return Written(b"".join([json, *binary]), len(json))


def headers(written: Written) -> Mapping[str, str]:
    """That go with it."""
    if written.json_bytes is None:
        return {"Content-Type": "application/json"}
    return {"Content-Type": "application/octet-stream", LENGTH: str(written.json_bytes)}


def _output(output: OutputTensor, binary: bytes) -> bytes:
    told: dict = {"name": output.name, "datatype": output.datatype, "shape": output.values.shape}
    if output.binary:
        return to_json(told | {"parameters": {"binary_data_size": len(binary)}})
    if output.datatype == "BYTES":
        data = to_json(output.values.ravel().tolist())
    else:
        data = json_numbers.write(output.values)
    return b'%b,"data":%b}' % (to_json(told)[:-1], data)
