"""A collector of OTLP over HTTP, with the messages of opentelemetry-proto. Prints its port, then a
line of JSON for each span that it receives."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def values(attributes):
    def value(of):
        return getattr(of, of.WhichOneof("value"))

    assert len({it.key for it in attributes}) == len(attributes), "a key is there twice"
    return {it.key: value(it.value) for it in attributes}


def fields(resource, span):
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex(),
        "flags": span.flags,
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "started_ns": span.start_time_unix_nano,
        "ended_ns": span.end_time_unix_nano,
        "status": Status.StatusCode.Name(span.status.code),
        "attributes": values(span.attributes),
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "resource": values(resource.attributes),
    }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        assert self.path == "/v1/traces", self.path
        assert self.headers["Content-Type"] == "application/x-protobuf"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            for of_scope in of_resource.scope_spans:
                assert of_scope.scope.name == "corelane"
                for span in of_scope.spans:
                    print(json.dumps(fields(of_resource.resource, span)), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments):
        pass


collector = HTTPServer(("127.0.0.1", 0), Collector)
print(collector.server_port, flush=True)
collector.serve_forever()
