"""The protocol's JSON, for reading requests and for the documentation. Null is as absent."""

from typing import Any

from pydantic import BaseModel, Field

from deployments.ingress.open_inference.datatypes import DTYPES
from deployments.ingress.open_inference.messages import OUTPUTS

Parameters = dict[str, Any]


class RequestInput(BaseModel):
    """One tensor. Its values stand in `data`, flat or nested as the shape says, or follow the JSON
    as so many bytes as `parameters.binary_data_size` says."""

    name: str = Field(examples=["image"])
    shape: list[int] = Field(examples=[[1, 2, 2, 1]])
    datatype: str = Field(examples=["UINT8"], json_schema_extra={"enum": [*DTYPES]})
    parameters: Parameters | None = None
    data: list[Any] | None = Field(None, examples=[[0, 64, 128, 255]])


class RequestOutput(BaseModel):
    """`parameters.binary_data` asks for bytes after the JSON, `parameters.classification` for so
    many of the most probable classes."""

    name: str = Field(examples=["label"], json_schema_extra={"enum": [*OUTPUTS]})
    parameters: Parameters | None = None


class InferRequest(BaseModel):
    """`parameters.cache` is `on` or `off`; `parameters.sequence_id`, a text or an integer, names
    the stream that the request belongs to; `parameters.binary_data_output` asks for all outputs as
    bytes after the JSON."""

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[RequestInput] = Field(min_length=1)
    outputs: list[RequestOutput] | None = None


class ResponseOutput(BaseModel):
    """`probabilities`, flat, or `label`; without `data`, `parameters.binary_data_size` bytes of it
    follow the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferResponse(BaseModel):
    """`parameters` hold each row's exit, joined by commas, and the cache version; `id` is the
    request's, or the one in `X-Request-ID`."""

    model_name: str
    model_version: str
    id: str
    parameters: Parameters
    outputs: list[ResponseOutput]
