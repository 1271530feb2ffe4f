"""What an operator may write under `args` in `serve_config.yaml`, validated once, at the door."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


class Strict(BaseModel):
    """A misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Compute(Strict):
    """Where one deployment computes.

    Attributes:
        device: `auto` (CUDA if the replica has it), `cpu`, `cuda` or `cuda:N`.
        threads: of PyTorch within one operation, per replica.
    """

    device: Device = "auto"
    threads: int = Field(2, ge=1, le=256)


class HttpLimits(Strict):
    """What a request may be."""

    max_body_bytes: int = Field(10 * 1024 * 1024, ge=1)
    max_image_pixels: int = Field(50_000_000, ge=1)
    max_batch_rows: int = Field(1024, ge=1)


class AppArgs(Strict):
    """The application.

    Attributes:
        name: of the model in the Open Inference Protocol.
        model: reference to the base DNN, as `cache_models.base_dnn` describes it.
        store: absolute path of the folder of cache versions, or `default` for the shipped one.
        mode: `serve`, or `off`, where the base DNN answers everything.
        activation_dtype: of what travels between partitions.
        lookup_timeout_ms: a lookup that takes longer is a miss.
        partition, lookup: defaults for all deployments of that kind.
        overrides: by deployment name, such as `Partition1`.
    """

    name: str = Field("default", pattern=r"^[A-Za-z0-9._-]+$")
    model: str = "default"
    store: str = "default"
    mode: Literal["serve", "off"] = "serve"
    activation_dtype: Literal["float32", "float16", "bfloat16"] = "float16"
    lookup_timeout_ms: float = Field(100, gt=0)
    partition: Compute = Compute(threads=2)
    lookup: Compute = Compute(device="cpu", threads=1)
    overrides: dict[str, Compute] = {}
    http: HttpLimits = HttpLimits()

    @field_validator("store")
    @classmethod
    def _absolute(cls, store: str) -> str:
        if store != "default" and not Path(store).is_absolute():
            raise ValueError(
                "may be 'default' or an absolute path, which means the same folder to every replica"
            )
        return store
