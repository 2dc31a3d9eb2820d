"""An application that tells of itself by the Python SDK of OpenTelemetry, over the protocol that is named first.

Usage: send.py http|grpc ENDPOINT SERVICE. Prints what it has sent, as JSON.
"""

import json
import logging
import sys
import time

from opentelemetry import metrics
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

protocol, endpoint, service = sys.argv[1:]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    made = {"endpoint": f"http://{endpoint}", "insecure": True}
    exporters = [kind(**made) for kind in (OTLPMetricExporter, OTLPSpanExporter, OTLPLogExporter)]
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporters = [
        kind(endpoint=f"http://{endpoint}/v1/{path}")
        for kind, path in ((OTLPMetricExporter, "metrics"), (OTLPSpanExporter, "traces"), (OTLPLogExporter, "logs"))
    ]

resource = Resource.create({"service.name": service, "deployment.environment.name": "staging"})
reader = PeriodicExportingMetricReader(exporters[0], export_interval_millis=1000)
meters = MeterProvider(resource=resource, metric_readers=[reader])
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(exporters[1]))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(exporters[2]))

meter = meters.get_meter("shop")
orders = meter.create_counter("shop.orders", unit="{order}")
meter.create_observable_gauge("shop.queue", callbacks=[lambda _: [metrics.Observation(7, {"queue": "mail"})]])
taken = meter.create_histogram("shop.taken", unit="s", explicit_bucket_boundaries_advisory=[0.1, 0.2, 0.5, 1.0, 2.0])
tracer = tracers.get_tracer("shop")
handler = LoggingHandler(level=logging.NOTSET, logger_provider=loggers)
log = logging.Logger("shop", level=logging.DEBUG)
log.addHandler(handler)

sent = {"orders": 0, "taken": 0, "requests": 0, "errors": 0}
until = time.time() + 25
number = 0
while time.time() < until:
    orders.add(3, {"region": "eu"})
    taken.record((number % 20) / 10.0)
    failed = number % 4 == 0
    with tracer.start_as_current_span("GET /orders", kind=SpanKind.SERVER) as span:
        span.set_attribute("http.route", "/orders")
        if failed:
            span.set_status(Status(StatusCode.ERROR))
    (log.error if failed else log.info)("order taken", extra={"customer": "C-17"})
    sent["orders"] += 3
    sent["taken"] += 1
    sent["requests"] += 1
    sent["errors"] += failed
    number += 1
    time.sleep(0.05)
meters.shutdown()
tracers.shutdown()
loggers.shutdown()
print(json.dumps(sent))
