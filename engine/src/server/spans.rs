//! The span of a request, by the conventions of OpenTelemetry for MCP.
//!
//! It has no argument, result, address, session or principal: of a client's bytes it has only the
//! ids of a trace.

use std::time::Duration;

use corelane_control::otlp::{AttributeValue, Span};

use crate::meter::exposition::{Label, value_of};
use crate::meter::records::RequestRecord;
use crate::meter::traces::Trace;

/// The attributes of a span by the labels of the same meaning.
const ATTRIBUTES: [(&str, &str); 7] = [
    ("mcp_method_name", "mcp.method.name"),
    ("mcp_protocol_version", "mcp.protocol.version"),
    ("gen_ai_operation_name", "gen_ai.operation.name"),
    ("gen_ai_tool_name", "gen_ai.tool.name"),
    ("gen_ai_prompt_name", "gen_ai.prompt.name"),
    ("error_type", "error.type"),
    ("rpc_response_status_code", "rpc.response.status_code"),
];

/// The span of a request of this shard that ended so long after 1970.
pub(super) fn span(
    shard: usize,
    record: &RequestRecord,
    (trace, ended): (Trace, Duration),
    labels: &[Label<'_>],
) -> Span {
    let value = |name: &str| value_of(labels, name);
    let method = value("mcp_method_name").unwrap_or("_OTHER");
    let entry = value("gen_ai_tool_name").or_else(|| value("gen_ai_prompt_name"));
    let texts = ATTRIBUTES.iter().filter_map(|(label, attribute)| {
        let text = AttributeValue::Text(value(label)?.to_owned());
        Some((*attribute, text))
    });
    let number = |value: u64| AttributeValue::Number(i64::try_from(value).unwrap_or(i64::MAX));
    let numbers = [
        ("corelane.shard", shard as u64),
        ("corelane.queue_us", record.queue_us),
        ("corelane.handler_us", record.handler_us),
    ];
    let numbers = numbers.map(|(name, value)| (name, number(value)));
    let ended_ns = u64::try_from(ended.as_nanos()).unwrap_or(u64::MAX);
    let began_ns = ended_ns.saturating_sub(record.duration_us.saturating_mul(1000));
    Span {
        trace_id: trace.own.trace_id.get(),
        span_id: trace.own.span_id.get(),
        parent_id: trace.parent.map(|id| id.get()),
        flags: trace.own.flags,
        link: (trace.link).map(|link| (link.trace_id.get(), link.span_id.get())),
        name: match entry {
            Some(entry) => format!("{method} {entry}"),
            None => method.to_owned(),
        },
        time_unix_ns: (began_ns, ended_ns),
        attributes: texts.chain(numbers).collect(),
        is_error: value("error_type").is_some(),
    }
}
