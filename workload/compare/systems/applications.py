"""What each Ray system is, as an application of a `serve run` configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache_models.bench import reuse
from cache_models.data.samples import open_samples
from cache_models.errors import DataError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.description import ModelDescription
from cache_models.store.version import CacheVersion
from cache_models.store.versions import Store
from workload.client.truth import base_answers
from workload.compare.systems import front, graphs, int8, stores
from workload.compare.systems.catalogue import SYSTEMS

WHOLE_APPLICATION = "workload.compare.systems.one_deployment:build"
CASCADE_APPLICATION = "deployments.app:build"
FITS = 2_000
"""Samples, to which the distance at which answers are reused is fitted."""


@dataclass(frozen=True)
class Settings:
    """What all systems are given alike.

    Attributes:
        store: of the caches; it is copied, never written to.
        whole: a store of the base DNN without caches.
        threads: within one operation of the base DNN.
        folder: for logs, configuration and copies of the store.
    """

    base: BaseDNN
    store: Store
    version: CacheVersion
    whole: Path
    device: str
    threads: int
    folder: Path

    @property
    def model(self) -> str:
        return self.base.reference


def application(name: str, settings: Settings) -> dict[str, Any]:
    """Of one Ray system. Copies of stores and the model cascade's CNN are made here, before
    anything runs.

    Raises:
        CacheModelsError: what it serves cannot be made.
    """
    made = {"name": name, "route_prefix": f"/{name}"}
    if SYSTEMS[name].late_binding:
        return made | _late_binding(name, settings)
    return made | _one_deployment(name, settings)


def _one_deployment(name: str, settings: Settings) -> dict[str, Any]:
    args: dict[str, Any] = {
        "store": str(settings.whole),
        "device": settings.device,
        "threads": settings.threads,
    }
    if name == "eager":
        args["eager"] = True
    if name == "cascade":
        front.make(settings.base, settings.version, settings.device)
        args["front"] = str(front.folder_of(settings.version.plan))
    if name == "int8":
        images = open_samples(*_data(settings)).images
        args["int8"] = str(int8.graph_of(settings.base, images))
    if name == "apparate":
        exits = settings.folder / name
        stores.exits_store(settings.version, exits)
        graphs.give(settings.version, exits)
        args |= {"store": str(exits), "exits": True}
    if (kind := reuse.KINDS.get(name)) is not None:
        args |= {"reuse": kind, "limit": _near_enough(kind, settings)}
    deployments = [_deployment("Model", settings)]
    return {"import_path": WHOLE_APPLICATION, "args": args, "deployments": deployments}


def _data(settings: Settings) -> tuple[str, ModelDescription, Path]:
    plan = settings.version.plan
    return plan.data, settings.base.description, settings.folder / "samples"


def _near_enough(kind: reuse.Kind, settings: Settings) -> float:
    """The distance of `reuse.Earlier` at which the plan's promise is kept on its first samples."""
    samples = open_samples(*_data(settings))
    order, keys = np.arange(len(samples.images)), [""] * len(samples.images)
    if samples.streams is not None:
        order = np.argsort(samples.streams.at, kind="stable")
        keys = [str(key) for key in samples.streams.keys]
    if kind == "hash" and samples.images.dtype != np.uint8:
        raise DataError("only pictures have a perceptual hash")
    rows = order[:FITS]
    given = [samples.images[row] for row in rows]
    answers = base_answers(settings.base, given, settings.device)
    limits = settings.version.plan.promise.limits
    found = reuse.fitting(kind, given, [keys[row] for row in rows], answers, limits)
    if found is None:
        raise DataError(f"{kind}: at no distance are few enough answers wrong")
    return found


def _late_binding(name: str, settings: Settings) -> dict[str, Any]:
    version, folder = settings.version, settings.folder / name
    match name:
        case "gati" | "gati-unbatched" | "gati-router":
            stores.copy_of(version, folder)
        case "gati-retraining":
            stores.whole_copy(settings.store, folder)
        case "entropy":
            stores.entropy_store(version, folder)
    graphs.give(version, folder)
    partition: dict[str, Any] = {"device": settings.device, "threads": settings.threads}
    args: dict[str, Any] = {"model": settings.model, "store": str(folder), "partition": partition}
    if name == "gati-unbatched":
        partition["max_batch_rows"] = 1
        args["lookup"] = {"device": "cpu", "threads": 1, "max_batch_rows": 1}
    if name == "gati-router":
        args["lookup"] = {"device": "cpu", "threads": 1, "place": "router"}
    if not SYSTEMS[name].retrains:
        args["retraining"] = {"rounds": False}
    deployments = [
        _deployment(stage.name, settings) for stage in version.plan.stages() if not stage.is_lookup
    ]
    return {"import_path": CASCADE_APPLICATION, "args": args, "deployments": deployments}


def _deployment(name: str, settings: Settings) -> dict[str, Any]:
    gpu = {"num_gpus": 0.05} if settings.device.startswith("cuda") else {}
    return {"name": name, "ray_actor_options": {"num_cpus": 0.1, **gpu}}
