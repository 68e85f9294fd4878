"""A client of the Python SDK 2 in a program with a tracer of OpenTelemetry:

    python python-2-traces.py URL

Calls a tool within a span of its own. Prints a line of JSON for each of its spans.
"""

import json
import sys

import anyio
from mcp import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)


async def main():
    async with Client(sys.argv[1]) as client:
        with trace.get_tracer("host").start_as_current_span("host"):
            answer = await client.call_tool("test_simple_text", {})
            assert not answer.is_error, answer


anyio.run(main)
for span in exporter.get_finished_spans():
    fields = {
        "name": span.name,
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "kind": span.kind.name,
    }
    print(json.dumps(fields))
