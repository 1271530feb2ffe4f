"""Where spans go: functions for Serve's `tracing_config.exporter_import_path`.

Serve calls one in every process, before it makes anything of OpenTelemetry's. Both send what has
ended from a thread of their own, so that no request waits for it.
"""

import logging
import os
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from logging.handlers import RotatingFileHandler
from pkgutil import resolve_name

from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from cache_models.data.datasets import cache_home

SERVICE = "gati"
WRITTEN_MS = 1_000
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of each process; then the file begins anew, and the one before it is kept."""
OTLP = "opentelemetry.exporter.otlp.proto.http"
NO_OTLP = (
    "tracing_config has traces sent by OTLP, and the package for it is not installed: "
    "pip install 'gati[tracing]' where Ray runs, or name deployments.tracing.exporters:file as "
    "its exporter_import_path"
)


class ExporterError(RuntimeError):
    """Traces cannot be sent as `tracing_config` says."""


def file() -> list[SpanProcessor]:
    """A span a line, as JSON, to a file of each process in `$GATI_HOME/traces`."""
    _name_service()
    return [BatchSpanProcessor(Lines(), schedule_delay_millis=WRITTEN_MS)]


def otlp() -> list[SpanProcessor]:
    """By OTLP over HTTP, to where OpenTelemetry's own environment variables say.

    Raises:
        ExporterError: the package is not installed.
    """
    if not _has(OTLP):
        raise ExporterError(NO_OTLP)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    _name_service()
    return [BatchSpanProcessor(OTLPSpanExporter())]


def check(import_path: str) -> None:
    """
    Args:
        import_path: of an exporter.

    Raises:
        ExporterError: there is none, or what it needs is not installed.
    """
    try:
        exporter = resolve_name(import_path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ExporterError(
            f"tracing_config.exporter_import_path is {import_path!r}, which cannot be imported "
            f"({error}); it may be {__name__}:file, {__name__}:otlp, or a function of yours"
        ) from error
    if exporter is otlp and not _has(OTLP):
        raise ExporterError(NO_OTLP)


class Lines(SpanExporter):
    """Writes spans as `ReadableSpan.to_json` has them."""

    def __init__(self) -> None:
        folder = cache_home() / "traces"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self._file = RotatingFileHandler(path, maxBytes=MAX_FILE_BYTES, backupCount=1)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            self._file.emit(logging.makeLogRecord({"msg": span.to_json(indent=None)}))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


def _name_service() -> None:
    """Unless an operator has: Serve leaves the name to the environment, which is read next."""
    os.environ.setdefault(OTEL_SERVICE_NAME, SERVICE)


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor the package that it is in
        return False
