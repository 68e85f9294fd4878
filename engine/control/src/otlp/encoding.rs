//! Spans as messages of OTLP.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status};
use prost::Message;

use super::span::{AttributeValue, Span};

/// The body of a request with these spans of a resource with these attributes.
pub(super) fn encode(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let attributes = resource.iter();
    let attributes = attributes.map(|(key, value)| text(key, value.clone()));
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: attributes.collect(),
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "corelane".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans: spans.iter().map(message).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

fn message(span: &Span) -> otlp::Span {
    let attributes = span.attributes.iter();
    let links = span.link.iter().map(|(trace_id, span_id)| Link {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: span_id.to_be_bytes().to_vec(),
        ..Link::default()
    });
    let code = match span.is_error {
        true => StatusCode::Error,
        false => StatusCode::Unset,
    };
    otlp::Span {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        span_id: span.span_id.to_be_bytes().to_vec(),
        parent_span_id: span
            .parent_id
            .map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        flags: u32::from(span.flags),
        name: span.name.clone(),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: span.time_unix_ns.0,
        end_time_unix_nano: span.time_unix_ns.1,
        attributes: attributes
            .map(|(key, value)| match value {
                AttributeValue::Text(value) => text(key, value.clone()),
                AttributeValue::Number(number) => pair(key, Value::IntValue(*number)),
            })
            .collect(),
        links: links.collect(),
        status: Some(Status {
            code: code as i32,
            ..Status::default()
        }),
        ..otlp::Span::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    pair(key, Value::StringValue(value))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
