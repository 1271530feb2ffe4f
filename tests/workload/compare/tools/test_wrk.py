"""wrk asks one sample after the other, and says how many a second."""

import pytest

from tests.workload.compare.tools.told import ANSWER, PICTURES, TOOK_S, Told
from tests.workload.fake_server import serving
from workload.client.protocols import png
from workload.compare.tools import wrk
from workload.errors import StartError

needs_wrk = pytest.mark.skipif(not wrk.installed(), reason="wrk is not installed")


@needs_wrk
def test_samples_are_asked_about_in_order_and_then_again(tmp_path):
    told = Told(ANSWER)
    with serving(told) as url:
        run = wrk.one(url, PICTURES, 0.5, tmp_path / "wrk")
    assert 12 < len(run.order) <= len(told.bodies)
    assert told.bodies == [png(PICTURES[i % 12]) for i in range(len(told.bodies))]
    assert run.order == [i % 12 for i in range(len(run.order))]
    assert 0 < run.found["per_s"] < 1 / TOOK_S and not run.failures


@needs_wrk
def test_who_is_not_there_is_named(tmp_path):
    with serving(Told(ANSWER)) as url:
        pass
    with pytest.raises(StartError, match="wrk"):
        wrk.one(url, PICTURES, 0.5, tmp_path / "wrk")


def test_a_wrk_that_fails_says_why(tmp_path, monkeypatch):
    program = tmp_path / "wrk"
    program.write_text("#!/bin/sh\necho no such script >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert wrk.installed()
    with pytest.raises(StartError, match="no such script"):
        wrk.one("http://127.0.0.1:1", PICTURES, 60, tmp_path / "files")
