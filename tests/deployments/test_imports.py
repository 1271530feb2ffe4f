"""What a process does not run it does not load: PyTorch takes seconds, and half a gigabyte."""

import subprocess
import sys

import pytest

LOADED = "print([m for m in ('torch', 'torchvision') if m in sys.modules])"
ASK = """
import asyncio, sys
from pathlib import Path
from unittest.mock import MagicMock
import numpy as np
from cache_models.network.stages import LookUp, Run
from cache_models.store.versions import Store
from deployments.config import AppArgs, Compute, LaneArgs
from deployments.graph.lookup import Lookup
from deployments.graph.partition import Partition
from deployments.ingress.resizing import smallest_form
from deployments.ingress.router import Router
from deployments.ingress.streams import make_key
from deployments.transport import endpoint

endpoint.max_ongoing_requests = lambda: 64
folder = sys.argv[1]
make_key(Path(folder))
plan = Store(folder).current().plan
lane = LaneArgs(enabled=False)
images = np.zeros((1, 40, 40, 1), np.uint8)

async def run():
    batch, resized = smallest_form(images, plan.description.preprocessing)
    features = batch
    for stage in plan.stages():
        if stage.is_lookup:
            lookup = Lookup.func_or_class(stage, plan, folder, Compute(threads=1), lane)
            await lookup.ask(LookUp(features, 1, resized=resized))
        else:
            compute = Compute(threads=1, engine="onnxruntime")
            partition = Partition.func_or_class(stage, plan, compute, "float16", lane, folder)
            features, batch, *_ = await partition.ask(Run(batch, resized))
            resized = False
    graph = {stage.name: MagicMock() for stage in plan.stages()}
    without_serve = Router.func_or_class.__mro__[1]
    without_serve(AppArgs(store=folder, lane=lane), plan, graph)

asyncio.run(run())
"""


def ran(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "modules",
    [
        "deployments.app",
        "deployments.transport.place, deployments.transport.endpoint",
        "deployments.graph.lookup, deployments.graph.partition",
    ],
)
def test_without_pytorch(modules):
    assert ran(f"import sys, {modules}; {LOADED}") == "[]"


def test_router_lookup_and_partition_answer_without_pytorch(store):
    assert ran(ASK + LOADED, str(store.folder)) == "[]"
