"""The table of torchvision's classifiers says of each what becomes of it."""

import pytest

from cache_models.bench import architectures
from cache_models.bench.architectures import ArchitectureRow, describe, summary, try_all, try_one


def row_of(builder: str) -> ArchitectureRow:
    return ArchitectureRow(builder=builder, million_weights=1, side=64)


@pytest.mark.parametrize("builder", ["shufflenet_v2_x0_5", "mnasnet0_5", "squeezenet1_1"])
def test_small_classifiers_load_are_cut_bit_identically_and_build(builder):
    row = try_one(row_of(builder))
    assert (row.loads, row.identical, row.builds, row.graphs) == (True, True, True, 2), row
    assert 2 < row.candidates <= row.cut_points


def test_what_goes_wrong_is_said_and_the_next_is_tried(monkeypatch):
    monkeypatch.setattr(architectures, "_free_memory_bytes", lambda: 10**9)
    vast, slow = try_all(["vit_h_14", "mnasnet0_5"], 64, timeout_s=0.001)
    assert vast.refused == "needs 13 GB of memory" and slow.refused
    assert not vast.builds and "needs 13 GB" in describe(vast)
    assert summary([vast, slow]).endswith("fall short: vit_h_14, mnasnet0_5")


def test_every_classifier_of_torchvision_is_in_the_table():
    assert len(architectures.builders()) >= 80
