"""Make the graphs that `store.graphs` reads where they are missing, and load PyTorch only then."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from cache_models.errors import ArtifactError, unwritable
from cache_models.store.checksums import remove_abandoned, sync
from cache_models.store.files import SAMPLES
from cache_models.store.graphs import MANIFEST, ROWS, Graphs, folder_of, sound, within
from cache_models.store.plan import Plan
from cache_models.store.publication import push
from cache_models.store.versions import CacheVersion, Store

if TYPE_CHECKING:
    from cache_models.network.base_dnn import BaseDNN

logger = logging.getLogger(__name__)


def ensure(store: Path | str, version: CacheVersion) -> Graphs:
    """The graphs for a version's plan: those that are there, or made now.

    Args:
        store: here and below: its folder, or its URL.

    Raises:
        ModelReferenceError: they have to be made, and the base DNN cannot be loaded.
        ArtifactError: likewise, and it has other weights than the plan was made for.
    """
    plan = version.plan
    try:
        return sound(store, plan)
    except ArtifactError as error:
        why = error if folder_of(store, plan).exists() else "the store has no graphs of them yet"
        logger.warning("exporting the slices of %s: %s", plan.model, why)
    from cache_models.network.base_dnn import load

    base = load(plan.model)
    plan.check_base(base)
    return make(store, plan, base, _kept_inputs(version))


def make(store: Path | str, plan: Plan, base: BaseDNN, inputs: np.ndarray | None) -> Graphs:
    """Export the slices for `plan` to `store`, in place of what is there.

    Args:
        base: that the plan was made for.
        inputs: to compare graphs and modules on, as `ModelDescription.inputs` takes them; noise,
            if there are none.

    Raises:
        ArtifactError: they cannot be written.
    """
    from cache_models.store.slice_graphs import export_slices

    target = folder_of(store, plan)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=".partial.", dir=target.parent))
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        graphs = Graphs(
            fingerprint=plan.fingerprint,
            cut_points=plan.cut_points,
            partitions=export_slices(
                partial, plan, base, None if inputs is None else inputs[:ROWS]
            ),
        )
        (partial / MANIFEST).write_text(graphs.model_dump_json(indent=2) + "\n")
        for entry in partial.iterdir():
            entry.chmod(0o644)
            sync(entry)
        partial.chmod(0o755)
        if (mirror := Store(store).mirror) is not None:
            push(mirror.remote, partial, within(plan), MANIFEST)
        shutil.rmtree(target, ignore_errors=True)
        try:
            partial.rename(target)
        except OSError:  # somebody else was quicker, and has made the same
            shutil.rmtree(partial)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise unwritable(target, error) from error
        raise
    sync(target.parent)
    return graphs


def _kept_inputs(version: CacheVersion) -> np.ndarray | None:
    """Some of the build's samples, if they came with it."""
    try:
        with safe_open(version.folder / SAMPLES, "numpy") as held:
            return held.get_slice("inputs")[:ROWS]
    except (SafetensorError, OSError):
        return None
