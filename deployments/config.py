"""What an operator may write under `args` in `serve_config.yaml`, validated once, at the door."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cache_models.cache.stream_memory import StreamLimits
from cache_models.network.activation import Precision
from cache_models.network.engine.interface import EngineChoice
from cache_models.network.stages import Stage
from cache_models.store.remote import is_url, known_protocols

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")]
Mode = Literal["serve", "shadow", "off"]
Keep = Literal["inputs", "features"]


class Strict(BaseModel):
    """A misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Compute(Strict):
    """Where one deployment computes.

    Attributes:
        device: `auto` (CUDA if the replica has it), `cpu`, `cuda` or `cuda:N`.
        engine: what computes. `auto`: on a CPU, ONNX Runtime, or PyTorch where that was quicker
            when the slice was exported, or the slice has no graph; on a GPU `cuda_graphs`, which
            launches PyTorch's kernels all at once. `onnxruntime`; `torch`: PyTorch as it is;
            `compile`: by torch.compile, which delays the start of a partition by half a minute, and
            which a lookup may not be, since every new cache version would wait for it.
        threads: of the engine within one operation, per replica.
        max_batch_rows: of requests that wait and are then computed together; 1 computes each alone.
    """

    device: Device = "auto"
    engine: EngineChoice = "auto"
    threads: int = Field(2, ge=1, le=256)
    max_batch_rows: int = Field(8, ge=1, le=1024)

    @model_validator(mode="before")
    @classmethod
    def _engine_for_compile(cls, given: Any) -> Any:
        if isinstance(given, dict) and "compile" in given:
            raise ValueError("there is no `compile`: write `engine: compile`, or leave it out")
        return given


class LookupArgs(Compute):
    """Of lookups.

    Attributes:
        place: where the cache at the input is asked: in its `deployment`; or in a copy of each
            `router`'s own, as long as that keeps up. A cache that remembers streams stays in its
            deployment, since one of its replicas has to see all of a stream.
    """

    device: Device = "cpu"
    threads: int = Field(1, ge=1, le=256)
    place: Literal["deployment", "router"] = "deployment"


class LaneArgs(Strict):
    """The way from routers to replicas beside Serve's handles.

    Attributes:
        enabled: without it all calls go by handle.
        host: address on which replicas listen: on loopback, for routers on the same node; `node`,
            the address by which Ray knows each node, for a cluster.
        shared_bytes: of memory in which each process lends large arrays to others of its node; 0
            sends them by the socket.
        hold_s: for which those of a reply stay there at least; more than a lookup may take.
    """

    enabled: bool = True
    host: str = Field("127.0.0.1", pattern=r"^(node|[0-9a-fA-F.:\[\]]+)$")
    shared_bytes: int = Field(2**26, ge=0)
    hold_s: float = Field(0.25, gt=0)

    def holding(self, least_s: float) -> Self:
        """The same, with arrays that stay so long at least."""
        return self.model_copy(update={"hold_s": max(self.hold_s, least_s)})


class HttpLimits(Strict):
    """What a request may be.

    Attributes:
        max_body_bytes: of a picture, or of the tensors of a request as bytes. JSON may be eight
            times as long, which holds the same tensors: a number of 4 bytes takes 20 as text.
        max_image_pixels: of a decoded picture; 50 million take 0.5 GB while they are decoded.
        timeout_s: from a request's first byte to its answer; after that it gets a 504.
        cors_origins: whose pages may ask from a browser, such as `https://app.example.com`; `*` for
            all.
    """

    max_body_bytes: int = Field(10 * 1024 * 1024, ge=1)
    max_image_pixels: int = Field(50_000_000, ge=1)
    max_batch_rows: int = Field(1024, ge=1)
    timeout_s: float = Field(60, gt=0)
    cors_origins: list[Origin] = []

    @property
    def max_json_bytes(self) -> int:
        return 8 * self.max_body_bytes


class LoadLimits(Strict):
    """How many requests a router lets in; others get a 503 at once.

    Attributes:
        max_wait_s: as many as are answered in so long, as measured.
        least_inside: so many in any case.
        max_inside_stream: of one stream that a header names.
    """

    max_wait_s: float = Field(2.0, gt=0)
    least_inside: int = Field(64, ge=1)
    max_inside_stream: int = Field(64, ge=1)


class Sampling(Strict):
    """Which requests are run on to the base DNN's end, after they have been answered.

    Attributes:
        rate: share of requests after a start, a change or an alarm, while there is much to learn.
        rest_rate: share when it has been learned, and nothing speaks against the caches.
        raised_rate: share while something does. Without caches, and after an alarm before there are
            caches again, all requests are samples.
        max_share: of the processors' time that samples may take, which bounds all these shares.
        min_rate: share that is sampled whatever it takes; without so many caches go off.
        max_backlog: of sampled requests that wait to be run on; beyond it the rate sinks.
    """

    rate: float = Field(0.1, gt=0, le=1)
    rest_rate: float = Field(0.02, gt=0, le=1)
    raised_rate: float = Field(0.3, gt=0, le=1)
    max_share: float = Field(0.05, gt=0, le=1)
    min_rate: float = Field(0.002, gt=0, le=1)
    max_backlog: int = Field(32, ge=1)

    @model_validator(mode="after")
    def _ordered(self):
        if self.min_rate > self.rate:
            raise ValueError(f"min_rate ({self.min_rate}) may be at most rate ({self.rate})")
        return self


class Retraining(Strict):
    """How caches follow the traffic.

    Attributes:
        rounds: retrain and publish by itself; a round can be asked for anyway.
        window: recent samples to learn from.
        new_samples: since the last round, after which another is due; a change of class mix or hit
            rate makes it due after `changed_samples`.
        mix_moved: total variation distance of the class mix that is a change, and `hits_fell` the
            fall of the hit rate.
        min_interval_s, max_interval_s: between rounds.
        threads: of PyTorch, in the background at the lowest priority.
        share: of the time in which a round computes while there are requests.
        kept_versions: besides the build's and the one in service.
        expire_s: age at which stored samples of the traffic are deleted.
        max_log_bytes: of the file that they are stored in.
        reservoir_bytes: of the samples of every class that rounds learn from besides the window.
        save_s: after which that file is copied to a store that lies elsewhere.
        keep: what is stored of a sample: its input, where a lookup is at the input, or features
            alone.
    """

    rounds: bool = True
    window: int = Field(4_000, ge=100)
    new_samples: int = Field(1_000, ge=1)
    changed_samples: int = Field(400, ge=1)
    mix_moved: float = Field(0.5, gt=0, le=1)
    hits_fell: float = Field(0.1, gt=0, le=1)
    min_interval_s: float = Field(60, ge=0)
    max_interval_s: float = Field(3_600, gt=0)
    threads: int = Field(1, ge=1, le=64)
    share: float = Field(0.34, gt=0, le=1)
    kept_versions: int = Field(5, ge=1)
    expire_s: float = Field(7 * 24 * 3600, gt=0)
    max_log_bytes: int = Field(2**30, ge=2**26)
    reservoir_bytes: int = Field(2**28, ge=2**20)
    save_s: float = Field(300, gt=0)
    keep: Keep = "inputs"


class StreamArgs(Strict):
    """What each lookup replica remembers of streams, where the plan has caches that do.

    Attributes:
        max_streams: at once; the one that has not been seen for longest goes. 0 remembers none.
        ttl_s: after which a stream that sends nothing is forgotten.
        shared: whether all requests are of one stream, whoever sends them, so that what the base
            DNN answered to one may answer another.
    """

    shared: bool = False
    max_streams: int = Field(10_000, ge=0)
    ttl_s: float = Field(600, gt=0)

    @property
    def limits(self) -> StreamLimits:
        return StreamLimits(self.max_streams, self.ttl_s)


class GuardArgs(Strict):
    """When caches go off by themselves, and come back.

    Attributes:
        samples_between_alarms: false alarms are at least so many sampled requests apart on average.
        trainer_lost_s: caches go off when the trainer has not been heard of for so long.
    """

    samples_between_alarms: float = Field(100_000, ge=100)
    trainer_lost_s: float = Field(60, gt=0)


class AppArgs(Strict):
    """The application.

    Attributes:
        name: of the model in the Open Inference Protocol.
        model: reference to the base DNN, as `cache_models.network.base_dnn` describes it.
        store: absolute path of the folder of cache versions, or a URL as fsspec takes it, or
            `default` for the shipped one.
        mode: `serve`; `shadow`, where the base DNN answers everything and caches are only judged;
            or `off`, where they are not asked at all.
        activation_dtype: of what travels between partitions.
        lookup_timeout_ms: a lookup that takes longer is a miss.
        order: `sequential`, lookup first and the next partition on a miss; `speculative`, both at
            once; or `auto`, as hit rates, costs and free capacity of the moment say.
        partition, lookup: defaults for all deployments of that kind.
        overrides: by deployment name, such as `Partition1`.
    """

    name: str = Field("default", pattern=r"^[A-Za-z0-9._-]+$")
    model: str = "default"
    store: str = "default"
    mode: Mode = "serve"
    activation_dtype: Precision = "float16"
    lookup_timeout_ms: float = Field(100, gt=0)
    order: Literal["auto", "sequential", "speculative"] = "auto"
    lane: LaneArgs = LaneArgs()
    partition: Compute = Compute(threads=2)
    lookup: LookupArgs = LookupArgs()
    overrides: dict[str, Compute] = {}
    http: HttpLimits = HttpLimits()
    load: LoadLimits = LoadLimits()
    sampling: Sampling = Sampling()
    streams: StreamArgs = StreamArgs()
    guard: GuardArgs = GuardArgs()
    retraining: Retraining = Retraining()

    def compute(self, stage: Stage) -> Compute:
        """How a stage's replicas compute."""
        return self.overrides.get(stage.name, self.lookup if stage.is_lookup else self.partition)

    def asked_in_router(self, stage: Stage) -> bool:
        """Whether each router has a copy of its own."""
        return stage.is_lookup and stage.at_input and self.lookup.place == "router"

    @property
    def activation_bytes_per_value(self) -> int:
        return 4 if self.activation_dtype == "float32" else 2

    @field_validator("store")
    @classmethod
    def _the_same_to_all(cls, store: str) -> str:
        may_be = "may be 'default', an absolute path or a URL such as s3://bucket/store"
        if is_url(store):
            protocol, _, path = store.partition("://")
            if protocol.split("::")[0] not in known_protocols():
                raise ValueError(f"{may_be}; nothing is known that reads {protocol}://")
            if protocol in ("file", "local") and not path.startswith("/"):
                raise ValueError(f"{may_be}; after file:// comes an absolute path")
        elif store != "default" and not Path(store).is_absolute():
            home = ", which ~ does not" if store.startswith("~") else ""
            raise ValueError(f"{may_be}, which means the same to every replica{home}")
        return store
