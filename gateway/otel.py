"""OpenTelemetry: log lines come in, the same as logs, counters and spans goes out to a collector over OTLP/HTTP.

Only where OTEL_EXPORTER_OTLP_ENDPOINT is set and requirements-otel.txt is installed; nothing of it is imported before.
Everything is made from the lines alone, so that no other module knows of it and promise 6 holds for it as well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from opentelemetry._logs import Logger
    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram, Meter
    from opentelemetry.metrics import _Gauge as Gauge
    from opentelemetry.trace import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The SDK's own variable; its others count as well."""

TIMEOUT = 3.0
"""Seconds for one request unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise; the SDK's 10 would hold up a stop."""

SERVICE = "notification-gateway"
"""The service's name unless OTEL_SERVICE_NAME says otherwise."""

LABELS = ("source", "sender", "transport", "reason", "kind")
"""Facts that are labels of the counter: each has few values, all of them names of ours or of the configuration."""

BAD = frozenset({"failed", "unknown"})
"""Ends of a delivery that make its span an error."""


class _Line(Protocol):
    """What telemetry.Line looks like from below."""

    event: str
    facts: Mapping[str, object]
    parent: str


class Signals(NamedTuple):
    """Where lines go."""

    logger: Logger
    tracer: Tracer
    events: Counter
    durations: Histogram
    waiting: Mapping[str, Gauge]


class Exporter(logging.Handler):
    """One log record, one count and perhaps one span for each line; the SDK sends them in batches, from its threads."""

    def __init__(self, signals: Signals) -> None:
        """`signals` belong to it."""
        super().__init__()
        self._signals = signals

    @classmethod
    def attached(cls) -> Exporter:
        """To the collector that the environment names; ImportError when the packages are not there."""
        return cls(_signals())

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on; whoever logs must not notice when that fails."""
        try:
            self._emit(record)
        except Exception:
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        line, at = cast("_Line", record.msg), int(record.created * 1e9)
        facts = {name: _value(value) for name, value in line.facts.items()}
        context = self._span(line, facts, at)
        self._count(line.event, facts)
        self._log(record, line.event, facts, at, context)

    def _span(self, line: _Line, facts: dict[str, Any], at: int) -> Context:
        """Where the line belongs; that of a delivery has a span of its own, which ends with it."""
        from opentelemetry import trace

        context = _context(line.parent)
        if "attempt" not in facts or "seconds" not in facts:
            return context
        begin = at - int(facts["seconds"] * 1e9)
        kind = trace.SpanKind.CLIENT
        span = self._signals.tracer.start_span("deliver", context, kind, {"event": line.event, **facts}, None, begin)
        if line.event in BAD:
            span.set_status(trace.StatusCode.ERROR, facts.get("reason"))
        span.end(at)
        return trace.set_span_in_context(span, context)

    def _count(self, event: str, facts: dict[str, Any]) -> None:
        labels = {"event": event, **{name: facts[name] for name in LABELS if name in facts}}
        self._signals.events.add(1, labels)
        if "attempt" in facts and "seconds" in facts:
            self._signals.durations.record(facts["seconds"], labels)
        if event == "backlog":
            for name, gauge in self._signals.waiting.items():
                gauge.set(facts[name])

    def _log(self, record: logging.LogRecord, event: str, facts: dict[str, Any], at: int, context: Context) -> None:
        from opentelemetry._logs import LogRecord, SeverityNumber

        severity = {logging.WARNING: SeverityNumber.WARN, logging.ERROR: SeverityNumber.ERROR}
        level = severity.get(record.levelno, SeverityNumber.INFO)
        self._signals.logger.emit(
            LogRecord(
                timestamp=at,
                context=context,
                severity_number=level,
                severity_text=record.levelname,
                body=event,
                attributes={"event": event, **facts},
            )
        )


def _value(value: object) -> Any:
    """A fact as an attribute: plain values as they are, all else as a line would show it."""
    return value if type(value) in (str, bool, int, float) else str(value)


def _context(parent: str) -> Context:
    """A trace parent as the SDK's context; without one the line stands alone."""
    from opentelemetry import trace
    from opentelemetry.context import Context

    if not parent:
        return Context()
    _, trace_id, span_id, flags = parent.split("-")
    remote = trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _signals() -> Signals:
    """Providers of our own, none of them global: nobody else's instrumentation sends through them."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from gateway import __version__

    timeout = None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else TIMEOUT
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": SERVICE}))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(timeout=timeout)))
    spans = TracerProvider(resource=resource)
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(timeout=timeout))], resource)
    meter = metrics.get_meter("gateway")
    return Signals(
        logger=logs.get_logger("gateway"),
        tracer=spans.get_tracer("gateway"),
        events=meter.create_counter("gateway.events", description="Log lines by their word"),
        durations=meter.create_histogram("gateway.delivery.duration", "s", "From the claim to the outcome"),
        waiting=_gauges(meter),
    )


def _gauges(meter: Meter) -> dict[str, Gauge]:
    """What the line `backlog` says each minute, by its fact."""
    return {
        "count": meter.create_gauge("gateway.backlog.messages", description="Messages that are overdue"),
        "seconds": meter.create_gauge("gateway.backlog.age", "s", "How long the oldest of them has waited"),
        "poison": meter.create_gauge("gateway.backlog.poison", description="Messages in poison queues"),
    }
