"""Requests and answers as messages of gRPC."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from deployments.ingress.errors import InvalidInput, RequestError
from deployments.ingress.open_inference.datatypes import BINARY_ONLY, DTYPES, from_bytes, to_bytes
from deployments.ingress.open_inference.grpc import open_inference_pb2 as pb
from deployments.ingress.open_inference.messages import (
    InferRequest,
    InferResponse,
    refuse_shared_memory,
    wanted,
)
from deployments.ingress.open_inference.tensors import Signature, of_datatype, of_input

CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""The field of a datatype's values, where they are not raw."""
WIDER = {"uint_contents": np.dtype(np.uint32), "int_contents": np.dtype(np.int32)}
"""What holds the values of several datatypes."""


def read(message: pb.ModelInferRequest, signature: Signature) -> InferRequest:
    """
    Raises:
        RequestError: names the field, what it got and may be.
    """
    outputs = wanted([(output.name, parameters(output.parameters)) for output in message.outputs])
    if not message.inputs:
        raise RequestError("inputs: there are none")
    raw = message.raw_input_contents
    if raw and (
        len(raw) != len(message.inputs) or any(i.HasField("contents") for i in message.inputs)
    ):
        raise RequestError(
            f"raw_input_contents: there are {len(raw)}; there may be one an input, whose contents "
            f"then are empty"
        )
    inputs: list[tuple[str, np.ndarray]] = []
    for i, given in enumerate(message.inputs):
        with of_input(i):
            refuse_shared_memory(parameters(given.parameters), f"the input {given.name!r}")
            shape = signature.check(given.name, given.datatype, given.shape)
            values = from_bytes(raw[i], given.datatype, shape) if raw else _contents(given, shape)
            inputs.append((given.name, signature.taken(given.name, given.datatype, values)))
    batch = signature.batch(inputs)
    return InferRequest(message.id, parameters(message.parameters), batch, outputs)


def _contents(given: pb.ModelInferRequest.InferInputTensor, shape: tuple[int, ...]) -> np.ndarray:
    if given.datatype in BINARY_ONLY:
        raise RequestError(f"inputs.0.datatype: {given.datatype} comes as raw_input_contents")
    field = CONTENTS[given.datatype]
    numbers = getattr(given.contents, field)
    expected = int(np.prod(shape, dtype=object))
    if len(numbers) != expected:
        raise InvalidInput(
            f"inputs.0.contents.{field} has {len(numbers)} values; its shape {list(shape)} says "
            f"{expected}"
        )
    values = np.array(numbers, WIDER.get(field, DTYPES[given.datatype])).reshape(shape)
    return of_datatype(values, given.datatype) if field in WIDER else values


def parameters(given: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    """Of a request, an input or an output; those without a value are absent."""
    kinds = {name: value.WhichOneof("parameter_choice") for name, value in given.items()}
    return {name: getattr(given[name], kind) for name, kind in kinds.items() if kind}


def write(response: InferResponse) -> pb.ModelInferResponse:
    """The response, whose tensors are raw."""
    tensors = response.outputs()
    return pb.ModelInferResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=response.id,
        parameters={name: _parameter(value) for name, value in response.parameters.items()},
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name=tensor.name, datatype=tensor.datatype, shape=tensor.values.shape
            )
            for tensor in tensors
        ],
        raw_output_contents=[to_bytes(tensor.values) for tensor in tensors],
    )


def _parameter(value: Any) -> pb.InferParameter:
    if isinstance(value, int):
        return pb.InferParameter(int64_param=value)
    return pb.InferParameter(string_param=value if isinstance(value, str) else json.dumps(value))
