"""The manifest is what KubeRay takes and this project serves; several nodes are no surprise."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.serve.schema import ServeDeploySchema

from cache_models.store.plan import HopCost, MemoryRecord
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE
from deployments import nodes
from deployments.app import check_shared
from deployments.config import AppArgs
from deployments.nodes import check_seen, count_nodes, on_nodes, warn_of_price, why_unseen
from deployments.starting import ENVIRONMENT

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "deployments/cluster"
SCHEMA = json.loads((ROOT / "tests/data/rayservice-v1.schema.json").read_text())
"""Of KubeRay (Apache-2.0), v1 in `ray-operator/config/crd/bases/ray.io_rayservices.yaml`, August
2026, without descriptions."""


@pytest.fixture
def manifest():
    return yaml.safe_load((CLUSTER / "rayservice.yaml").read_text())


def strict(schema):
    """As the API server validates: it knows no other fields than these."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def problems(manifest):
    schema = strict(SCHEMA)
    schema["properties"]["metadata"] = {"type": "object"}
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(manifest)]


def containers(manifest):
    cluster = manifest["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield from group["template"]["spec"]["containers"]


def test_kuberay_takes_the_manifest(manifest):
    assert problems(manifest) == []
    manifest["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["replica"] = 2
    assert problems(manifest) == ["$.spec.rayClusterConfig.workerGroupSpecs[0]"]


def test_serve_takes_its_configuration_and_so_does_the_application(manifest):
    config = ServeDeploySchema(**yaml.safe_load(manifest["spec"]["serveConfigV2"]))
    (application,) = config.applications
    args = AppArgs(**application.args)
    assert on_nodes(args, 3) == args
    mounts = {m["mountPath"] for c in containers(manifest) for m in c["volumeMounts"]}
    assert any(args.store.startswith(f"file://{mount}/") for mount in mounts)


def test_ray_admits_only_who_has_its_token(manifest):
    assert manifest["spec"]["rayClusterConfig"]["authOptions"]["mode"] == "token"


def test_every_pod_has_what_must_be_set_before_ray_starts_and_this_ray(manifest):
    for container in containers(manifest):
        set_ = {one["name"]: one.get("value") for one in container["env"]}
        assert ENVIRONMENT.items() <= set_.items()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    version = manifest["spec"]["rayClusterConfig"]["rayVersion"]
    assert f"ray[serve]=={version}" in wanted
    assert f"rayproject/ray:{version}-" in (CLUSTER / "Dockerfile").read_text()


def test_the_image_has_what_is_wanted_each_by_its_version_and_checksum():
    lock = (CLUSTER / "requirements.lock").read_text()
    found = re.findall(r"^([\w.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", lock, re.M)
    versions = {canonicalize_name(name): version for name, version, _ in found}
    assert len(found) == lock.count("==")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"] + project["optional-dependencies"]["tracing"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), text


def test_a_store_of_one_node_is_refused_on_several():
    args = AppArgs()
    assert on_nodes(args, 1) == args
    with pytest.raises(ValueError, match="a folder of one node, and there are 2"):
        on_nodes(args, 2)


def test_a_folder_on_several_nodes_is_one_that_they_share(caplog):
    args = AppArgs(store="/shared/store", lane={"host": "node"})
    assert on_nodes(args, 1) == args
    shared = on_nodes(args, 2)
    assert shared.store == "file:///shared/store" and on_nodes(shared, 2) == shared
    assert "/shared/store" in caplog.text and "2 nodes" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "0.0.0.0", "::"])
def test_a_lane_that_no_other_node_can_reach_is_moved(host, caplog):
    args = AppArgs(store="s3://bucket/store", lane={"host": host})
    assert on_nodes(args, 1).lane.host == host
    assert on_nodes(args, 2).lane.host == "node"
    assert host in caplog.text and "'node' is used" in caplog.text


@pytest.mark.parametrize("host", ["node", "10.0.0.7"])
def test_a_lane_that_others_can_reach_stays(host):
    args = AppArgs(store="s3://bucket/store", lane={"host": host})
    assert on_nodes(args, 2) == args


@pytest.mark.parametrize(
    ("hop", "count", "said"),
    [
        (HopCost(), 1, False),
        (HopCost(), 2, True),
        (HopCost(per_mb_ms=1.5), 2, True),  # as builds of before reckoned
        (HopCost(fixed_ms=2), 2, False),
    ],
)
def test_a_plan_priced_within_one_machine_says_so_on_several(hop, count, said, caplog):
    warn_of_price(hop, count)
    assert ("build with --hop" in caplog.text) == said


def node(cpus, alive=True):
    return {"Alive": alive, "Resources": {"CPU": cpus} if cpus else {}}


@pytest.mark.parametrize(
    ("found", "count"),
    [
        ([node(4)], 1),
        ([node(4), node(4, alive=False)], 1),
        ([node(0), node(4)], 2),
        ([node(0)], 2),  # of a cluster whose workers come later
    ],
)
def test_a_head_node_without_processors_has_others_beside_it(monkeypatch, found, count):
    monkeypatch.setattr(nodes.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(nodes.ray, "nodes", lambda: found)
    assert count_nodes() == count


def test_without_a_cluster_there_is_one_node():
    assert count_nodes() == 1


def test_a_store_that_a_node_does_not_see_is_refused(tmp_path, monkeypatch):
    store, seen = f"file://{tmp_path}", []

    def asked(url, name):
        seen.append(why_unseen(url, name))
        yield from [("10.0.0.3", why_unseen(f"{url}/elsewhere", name))][: len(seen) - 1]

    monkeypatch.setattr(nodes, "_asked", asked)
    check_seen(store)
    with pytest.raises(ValueError, match=r"the node 10\.0\.0\.3 does not see: another folder"):
        check_seen(store)
    assert seen == [None, None] and not list(tmp_path.iterdir())
    assert "cannot be opened" in why_unseen("nothing://x", "y")


def test_a_memory_of_all_requests_has_to_be_allowed():
    plan = Store(STORE).current().plan
    memory = MemoryRecord(stream_bytes=1, alone=True, kept=10_000)
    shares = plan.model_copy(
        update={"caches": [c.model_copy(update={"memory": memory}) for c in plan.caches]}
    )
    allowed = AppArgs(streams={"shared": True})
    check_shared(AppArgs(), plan)
    check_shared(allowed, shares)
    with pytest.raises(ValueError, match=r"streams\.shared: true"):
        check_shared(AppArgs(), shares)
    with pytest.raises(ValueError, match="--shared-memory"):
        check_shared(allowed, plan)
