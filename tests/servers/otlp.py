"""A collector for OpenTelemetry: what an exporter posts over OTLP/HTTP comes in, plain values go out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from starlette.types import Receive, Scope, Send


@dataclass
class Collector:
    """An ASGI application that remembers what was posted."""

    bodies: dict[str, list[bytes]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one batch."""
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        self.bodies.setdefault(scope["path"], []).append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    @property
    def logs(self) -> list[dict[str, Any]]:
        """Every log record: its attributes, and severity, trace, span and service."""
        return [
            {
                **_plain(record.attributes),
                "severity": record.severity_text,
                "trace_id": record.trace_id.hex(),
                "span_id": record.span_id.hex(),
                "service": _plain(resource.resource.attributes)["service.name"],
            }
            for body in self.bodies.get("/v1/logs", ())
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Every span: its attributes, name, ids, length in seconds and whether it failed."""
        return [
            {
                **_plain(span.attributes),
                "name": span.name,
                "trace_id": span.trace_id.hex(),
                "span_id": span.span_id.hex(),
                "parent_id": span.parent_span_id.hex(),
                "length": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                "bad": span.status.code == span.status.STATUS_CODE_ERROR,
            }
            for body in self.bodies.get("/v1/traces", ())
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """The newest points of each instrument: labels and value, of a histogram the number of values."""
        found = {}
        for body in self.bodies.get("/v1/metrics", ()):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    found[metric.name] = list(_points(metric))
        return found


def _points(metric: Any) -> Iterator[tuple[dict[str, Any], float]]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points:
        value = point.count if kind == "histogram" else point.as_double or point.as_int
        yield _plain(point.attributes), value


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {found.key: getattr(found.value, found.value.WhichOneof("value") or "string_value") for found in attributes}
