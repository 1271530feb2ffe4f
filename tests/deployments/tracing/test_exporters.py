"""Spans arrive where `tracing_config` sends them, and what cannot be sent is said in a sentence."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import click
import pytest
import yaml
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from ray.serve._private.tracing_utils import _load_span_processors

from deployments.gati import cli
from deployments.tracing import exporters


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GATI_HOME", str(tmp_path))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "")
    monkeypatch.delenv("OTEL_SERVICE_NAME")


def end_spans(processors, *names):
    """As a process does whose provider Serve has made."""
    provider = TracerProvider()
    for processor in processors:
        provider.add_span_processor(processor)
    for name in names:
        provider.get_tracer("test").start_span(name).end()
    provider.shutdown()


def test_a_file_has_a_span_a_line(tmp_path):
    end_spans(exporters.file(), "one", "two%s")
    (file,) = (tmp_path / "traces").iterdir()
    written = [json.loads(line) for line in file.read_text().splitlines()]
    assert [span["name"] for span in written] == ["one", "two%s"]
    assert written[0]["resource"]["attributes"]["service.name"] == "gati"
    assert str(os.getpid()) in file.name


def test_files_stay_small(tmp_path, monkeypatch):
    monkeypatch.setattr(exporters, "MAX_FILE_BYTES", 10_000)
    for _ in range(10):
        end_spans(exporters.file(), *(["span"] * 20))
    files = list((tmp_path / "traces").iterdir())
    assert len(files) == 2 and all(file.stat().st_size <= 10_000 for file in files)


def test_otlp_arrives_where_opentelemetrys_own_variables_say(monkeypatch):
    bodies = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{collector.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "cats")
        end_spans(exporters.otlp(), "one")
        collector.shutdown()
    ((path, body),) = bodies
    (told,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert path == "/v1/traces" and told.scope_spans[0].spans[0].name == "one"
    assert "cats" in [a.value.string_value for a in told.resource.attributes]


@pytest.mark.parametrize("name", ["file", "otlp"])
def test_serve_takes_it_by_its_import_path(name):
    (processor,) = _load_span_processors(f"deployments.tracing.exporters:{name}", "unused")
    processor.shutdown()


@pytest.fixture
def without_otlp(monkeypatch):
    monkeypatch.setattr(exporters, "OTLP", "opentelemetry.exporter.nowhere.proto")


def test_without_its_package_otlp_names_the_one_to_install(without_otlp):
    with pytest.raises(exporters.ExporterError, match=r"pip install 'gati\[tracing\]'"):
        exporters.otlp()


@pytest.mark.parametrize(
    ("tracing", "told"),
    [
        ({"enabled": True, "exporter_import_path": "deployments.tracing.exporters:otlp"}, "pip"),
        ({"enabled": True, "exporter_import_path": "deployments.tracing.exporters.otlp"}, "pip"),
        ({"enabled": True, "exporter_import_path": "deployments.tracing.exporters:fil"}, ":file"),
        ({"enabled": True, "exporter_import_path": "nowhere"}, "or a function of yours"),
        ({"enabled": False, "exporter_import_path": "nowhere"}, ""),
        ({"enabled": True, "exporter_import_path": "deployments.tracing.exporters:file"}, ""),
        ({"enabled": True}, ""),
        (None, ""),
    ],
)
def test_gati_serve_says_before_ray_starts_what_replicas_would_fail_for(
    without_otlp, tmp_path, monkeypatch, tracing, told
):
    started = []
    monkeypatch.setattr(os, "execve", lambda *run: started.append(run))
    monkeypatch.setattr("deployments.starting.HAPROXY_PORTS", {})
    file = tmp_path / "serve_config.yaml"
    config = {"http_options": {"port": 0}, "applications": [], "tracing_config": tracing}
    file.write_text(yaml.safe_dump(config))
    result = CliRunner().invoke(cli, ["serve", str(file)])
    assert bool(started) == (not told)
    if told:
        assert result.exit_code == click.ClickException.exit_code
        assert told in result.output and "Traceback" not in result.output
