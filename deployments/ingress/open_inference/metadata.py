"""What clients may ask about the model: its tensors, its configuration and statistics in Triton's
form, which load generators read before they begin."""

from typing import Any

from pydantic import BaseModel

from cache_models.network.description import ModelDescription
from cache_models.network.stages import BASE
from deployments.config import HttpLimits
from deployments.ingress.errors import NotFound
from deployments.ingress.open_inference.tensors import Signature
from deployments.ingress.stats import Latency, Traffic

SERVER, SERVER_VERSION = "gati", "0.1.0"
MODEL_VERSION = "1"
"""Of the base DNN, which never changes while it is served; caches have versions of their own."""
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "parameters",
    "statistics",
]
"""Triton's names of what is served besides the protocol."""
PLATFORM = "pytorch"


class MetadataTensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A request carries `input`, or `inputs_per_request` others; -1 is any number from 1."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]
    parameters: dict[str, Any]


class ConfigInput(BaseModel):
    """Without the batch; an optional one may stand in another's place."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool


class ConfigOutput(BaseModel):
    name: str
    data_type: str
    dims: list[int]


class ModelConfig(BaseModel):
    """Triton's model configuration, as far as there is one here."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[ConfigInput]
    output: list[ConfigOutput]


class Duration(BaseModel):
    """
    Attributes:
        ns: of all together.
    """

    count: int = 0
    ns: int = 0


class InferStatistics(BaseModel):
    """
    Attributes:
        fail: requests that got no answer; how long they took is not kept.
        cache_hit, cache_miss: rows that a learned cache has answered, and the base DNN.
    """

    success: Duration
    fail: Duration
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration
    cache_miss: Duration


class ModelStatistics(BaseModel):
    """Of all routers since each started; a batch counts once a row."""

    name: str
    version: str
    inference_count: int
    execution_count: int
    inference_stats: InferStatistics
    batch_stats: list[Any] = []


class AllStatistics(BaseModel):
    model_stats: list[ModelStatistics]


def check_model(served: str, name: str, version: str) -> None:
    """
    Args:
        version: empty for any.

    Raises:
        NotFound: another model is served, or another version.
    """
    if name != served:
        raise NotFound(f"no model {name!r}; there is {served!r}")
    if version not in ("", MODEL_VERSION):
        raise NotFound(f"model {name!r} has no version {version!r}; it has {MODEL_VERSION!r}")


def metadata(name: str, description: ModelDescription, limits: HttpLimits) -> ModelMetadata:
    """The model's tensors."""
    signature = Signature(description, limits)
    inputs = signature.tensors().items()
    return ModelMetadata(
        name=name,
        versions=[MODEL_VERSION],
        platform=PLATFORM,
        inputs=[MetadataTensor(name=n, datatype=d, shape=shape) for n, (d, shape) in inputs],
        outputs=[
            MetadataTensor(
                name="probabilities", datatype="FP32", shape=[-1, len(description.classes)]
            ),
            MetadataTensor(name="label", datatype="BYTES", shape=[-1]),
        ],
        parameters={"inputs_per_request": len(signature.needed)},
    )


def config(name: str, description: ModelDescription, limits: HttpLimits) -> ModelConfig:
    """The same, in Triton's form."""
    told, needed = metadata(name, description, limits), Signature(description, limits).needed
    return ModelConfig(
        name=name,
        platform=PLATFORM,
        backend=SERVER,
        max_batch_size=limits.max_batch_rows,
        input=[
            ConfigInput(
                name=tensor.name,
                data_type=_data_type(tensor.datatype),
                dims=tensor.shape[1:],
                optional=tensor.name not in needed,
            )
            for tensor in told.inputs
        ],
        output=[
            ConfigOutput(
                name=tensor.name,
                data_type=_data_type(tensor.datatype),
                dims=tensor.shape[1:] or [1],
            )
            for tensor in told.outputs
        ],
    )


def _data_type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def statistics(name: str, traffic: Traffic) -> AllStatistics:
    """What has been answered, in Triton's form."""
    hits = [latency for exit, latency in traffic.exits.items() if exit != BASE]
    told = InferStatistics(
        success=_together([traffic.latency_ms]),
        fail=Duration(count=sum(traffic.errors.values())),
        cache_hit=_together(hits),
        cache_miss=_together([traffic.exits[BASE]] if BASE in traffic.exits else []),
    )
    rows = traffic.requests
    model = ModelStatistics(
        name=name,
        version=MODEL_VERSION,
        inference_count=rows,
        execution_count=rows,
        inference_stats=told,
    )
    return AllStatistics(model_stats=[model])


def _together(latencies: list[Latency]) -> Duration:
    return Duration(
        count=sum(latency.count for latency in latencies),
        ns=sum(round(latency.count * (latency.mean or 0) * 1e6) for latency in latencies),
    )
