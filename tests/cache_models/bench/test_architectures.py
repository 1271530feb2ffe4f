"""The table of classifiers says of each what becomes of it."""

import sys

import pytest

from cache_models.bench import architectures, libraries
from cache_models.bench.architectures import ArchitectureRow, describe, summary, try_all, try_one
from cache_models.errors import ModelReferenceError


@pytest.mark.parametrize(
    "name", ["shufflenet_v2_x0_5", "mnasnet0_5", "squeezenet1_1", "timm:mobilenetv4_conv_small"]
)
def test_small_classifiers_load_are_cut_bit_identically_and_build(name):
    pytest.importorskip(name.rpartition(":")[0] or "torchvision")
    row = try_one(ArchitectureRow(name=name, million_weights=0), 64)
    assert (row.loads, row.identical, row.builds, row.graphs) == (True, True, True, 2), row
    assert 2 < row.candidates <= row.cut_points
    assert row.whole_ms is None


def test_slices_are_timed_beside_the_whole():
    row = try_one(ArchitectureRow(name="squeezenet1_1", million_weights=0), 64, timed=True)
    assert row.whole_ms and row.slices_ms
    assert "ms whole, slices" in describe(row)


def test_what_goes_wrong_is_said_and_the_next_is_tried(monkeypatch):
    monkeypatch.setattr(architectures, "_free_memory_bytes", lambda: 10**9)
    vast, slow = try_all(["vit_h_14", "mnasnet0_5"], 64, timeout_s=0.001)
    assert vast.refused == "needs 13 GB of memory" and slow.refused
    assert not vast.builds and "needs 13 GB" in describe(vast)
    assert summary([vast, slow]).endswith("fall short: vit_h_14, mnasnet0_5")


def test_every_classifier_of_torchvision_is_in_the_table():
    assert len(libraries.names("torchvision")) >= 80


def test_a_library_that_is_not_installed_is_named_and_so_is_a_mistake(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # as import has it where there is none
    for name, said in (
        ("timm:vit_tiny_patch16_224", "pip install timm"),
        ("keras:vgg", "'keras' is none of torchvision, timm, transformers"),
        ("resnet51", "torchvision has no classifier 'resnet51'"),
    ):
        with pytest.raises(ModelReferenceError, match=said):
            libraries.check(name)
    with pytest.raises(ModelReferenceError, match="transformers cannot make 'Brt'"):
        libraries.make("transformers:Brt")
