"""What the command line names is read, or refused with what may be named."""

import click
import pytest

from workload.compare.cli import split_streams, split_systems
from workload.compare.systems.catalogue import SYSTEMS


def test_streams_and_systems_are_read_or_refused():
    assert split_streams("iid,locality:classes=3,mean_stay=2000,shift") == [
        "iid",
        "locality:classes=3,mean_stay=2000",
        "shift",
    ]
    asked_for = {"gati-unbatched", "gati-router", "int8", "exact", "hash", "difference"}
    assert split_systems(None) == [name for name in SYSTEMS if name not in asked_for]
    assert split_systems("gati,plain") == ["plain", "gati"]
    for refused in (lambda: split_streams("none"), lambda: split_systems("plain,apache")):
        with pytest.raises(click.UsageError, match="none"):
            refused()
