//! Answers as bytes: the head before a message, and the framing of events.

use corelane_protocol::binding::refusal::{Category, RETRY_AFTER_S};
use corelane_protocol::binding::websocket::{Handshake, SUBPROTOCOL};
use corelane_protocol::framing::http1::{
    Content, DATE_BYTES, LAST_CHUNK, ResponseHead, Status, write_chunk, write_response_head,
};
use corelane_protocol::framing::sse::{self, Event};
use corelane_protocol::framing::websocket::VERSION;

use super::cors::Cors;
use super::reply::Reply;
use crate::mcp::{EventId, NewSession};
use crate::meter::ShardMeter;

/// The time as an HTTP date.
pub(crate) type Date = [u8; DATE_BYTES];

/// Name of the header that carries a session id (MCP 2025-11-25 basic/transports).
const SESSION_HEADER: &str = "MCP-Session-Id";

/// Name of the header that carries a challenge (RFC 9110 11.6.1).
const CHALLENGE_HEADER: &str = "WWW-Authenticate";

/// The fields that do not depend on the request, and those for each origin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadFields<'a> {
    pub(crate) date: &'a Date,
    pub(crate) cors: &'a Cors,
    /// Counts whole answers.
    pub(crate) meter: &'a ShardMeter,
}

/// The fields of an answer's head besides its status.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// A session that was made.
    pub(crate) session: Option<Box<NewSession>>,
    /// A field that goes with a refusal.
    pub(crate) field: Option<(&'static str, &'static str)>,
    /// The value of `WWW-Authenticate`.
    pub(crate) challenge: Option<String>,
    /// Why there is no answer.
    pub(crate) refused: Option<Category>,
}

/// Appends a whole response with the message `body`, as JSON or as a stream of one event; without
/// it to HEAD (RFC 9110 9.3.2).
pub(crate) fn write_message(
    out: &mut Vec<u8>,
    reply: &Reply,
    common: HeadFields<'_>,
    status: Status,
    extra: &Extra,
    body: &[u8],
) {
    common.meter.end_http(reply.measured(), status);
    if !reply.accept.json && status == Status::Ok {
        write_head(out, reply, common, status, stream_content(reply), extra);
        write_event(out, reply, None, body);
        write_stream_end(out, reply);
        return;
    }
    if reply.is_head() {
        write_head(out, reply, common, status, Content::Omitted, extra);
        return;
    }
    write_head(out, reply, common, status, Content::Json(body.len()), extra);
    out.extend_from_slice(body);
}

/// Appends a whole response without a body.
pub(crate) fn write_empty(
    out: &mut Vec<u8>,
    reply: &Reply,
    common: HeadFields<'_>,
    status: Status,
) {
    common.meter.end_http(reply.measured(), status);
    write_head(out, reply, common, status, Content::None, &Extra::default());
}

/// Appends a response head with these fields beside the usual ones.
pub(super) fn write_with_fields(
    out: &mut Vec<u8>,
    reply: &Reply,
    common: HeadFields<'_>,
    (status, content): (Status, Content),
    fields: &[(&str, &[u8])],
) {
    common.meter.end_http(reply.measured(), status);
    let head = head_of(reply, common, status, content);
    let seconds = RETRY_AFTER_S.to_string();
    let retry: [(&str, &[u8]); 1] = [("Retry-After", seconds.as_bytes())];
    let retry = if may_be_retried(status) {
        &retry[..]
    } else {
        &[]
    };
    let fields = [fields, retry].concat();
    write_response_head(
        out,
        &ResponseHead {
            fields: &fields,
            ..head
        },
    );
}

/// Appends the head of a stream of events.
pub(crate) fn write_stream_head(out: &mut Vec<u8>, reply: &Reply, common: HeadFields<'_>) {
    write_head(
        out,
        reply,
        common,
        Status::Ok,
        stream_content(reply),
        &Extra::default(),
    );
}

/// Appends the head of an answer in JSON whose message comes later.
pub(crate) fn write_json_head(out: &mut Vec<u8>, reply: &Reply, common: HeadFields<'_>) {
    let chunked = is_chunked(reply);
    let (content, extra) = (Content::JsonStream { chunked }, Extra::default());
    write_head(out, reply, common, Status::Ok, content, &extra);
}

/// Appends a part of such an answer.
pub(crate) fn write_json_part(out: &mut Vec<u8>, reply: &Reply, part: &[u8]) {
    if is_chunked(reply) {
        write_chunk(out, part);
    } else {
        out.extend_from_slice(part);
    }
}

/// Appends one message of a stream.
pub(crate) fn write_event(out: &mut Vec<u8>, reply: &Reply, id: Option<EventId>, message: &[u8]) {
    let id = id.map(EventId::to_text);
    in_stream(out, reply, |out| {
        sse::write_event(
            out,
            &Event {
                id: id.as_deref(),
                event: None,
                retry_ms: None,
                data: message,
            },
        );
    });
}

/// Appends the first event of a stream of HTTP+SSE: the URI for messages.
pub(super) fn write_endpoint(out: &mut Vec<u8>, reply: &Reply, uri: &str) {
    in_stream(out, reply, |out| {
        sse::write_event(
            out,
            &Event {
                event: Some("endpoint"),
                data: uri.as_bytes(),
                ..Event::default()
            },
        );
    });
}

/// Appends the time after which the client reconnects.
pub(crate) fn write_retry(out: &mut Vec<u8>, reply: &Reply, retry_ms: u64) {
    in_stream(out, reply, |out| sse::write_retry(out, retry_ms));
}

/// Appends a comment that shows a quiet stream to be alive.
pub(crate) fn write_keep_alive(out: &mut Vec<u8>, reply: &Reply) {
    in_stream(out, reply, |out| sse::write_comment(out, "keep-alive"));
}

/// Appends the end of a stream.
pub(crate) fn write_stream_end(out: &mut Vec<u8>, reply: &Reply) {
    if is_chunked(reply) {
        out.extend_from_slice(LAST_CHUNK);
    }
}

/// A stream without chunks ends with its connection.
pub(crate) fn is_chunked(reply: &Reply) -> bool {
    reply.version_minor >= 1
}

/// Appends the answer that completes the handshake of a WebSocket (RFC 6455 4.2.2).
pub(crate) fn write_upgrade(out: &mut Vec<u8>, date: &Date, handshake: &Handshake) {
    let mut fields: [(&str, &[u8]); 4] = [
        ("Upgrade", b"websocket"),
        ("Connection", b"Upgrade"),
        ("Sec-WebSocket-Accept", &handshake.accept),
        ("Sec-WebSocket-Protocol", b""),
    ];
    let mut count = fields.len() - 1;
    if handshake.is_mcp_offered {
        fields[count].1 = SUBPROTOCOL.as_bytes();
        count += 1;
    }
    let head = ResponseHead {
        status: Status::SwitchingProtocols,
        content: Content::None,
        date: Some(date),
        keep_alive: true,
        version_minor: 1,
        fields: &fields[..count],
        lines: &[],
    };
    write_response_head(out, &head);
}

fn stream_content(reply: &Reply) -> Content {
    Content::EventStream {
        chunked: is_chunked(reply),
    }
}

fn in_stream(out: &mut Vec<u8>, reply: &Reply, write: impl FnOnce(&mut Vec<u8>)) {
    if is_chunked(reply) {
        let mut event = Vec::new();
        write(&mut event);
        write_chunk(out, &event);
    } else {
        write(out);
    }
}

fn write_head(
    out: &mut Vec<u8>,
    reply: &Reply,
    common: HeadFields<'_>,
    status: Status,
    content: Content,
    extra: &Extra,
) {
    let mut head = head_of(reply, common, status, content);
    let mut fields: [(&str, &[u8]); 5] = [("", b""); 5];
    let mut count = 0;
    if let Some(session) = &extra.session {
        fields[count] = (SESSION_HEADER, &session.text);
        count += 1;
    }
    if let Some((name, value)) = extra.field {
        fields[count] = (name, value.as_bytes());
        count += 1;
    }
    if let Some(challenge) = &extra.challenge {
        fields[count] = (CHALLENGE_HEADER, challenge.as_bytes());
        count += 1;
    }
    let retry_after;
    if may_be_retried(status) {
        let seconds = match extra.refused {
            Some(Category::Unavailable { retry_after_s } | Category::TooMany { retry_after_s }) => {
                retry_after_s
            }
            _ => RETRY_AFTER_S,
        };
        retry_after = seconds.to_string();
        // RFC 9110 10.2.3.
        fields[count] = ("Retry-After", retry_after.as_bytes());
        count += 1;
    }
    if status == Status::UpgradeRequired {
        // RFC 9110 15.5.22, RFC 6455 4.4.
        fields[count] = ("Upgrade", b"websocket");
        fields[count + 1] = ("Connection", b"Upgrade");
        fields[count + 2] = ("Sec-WebSocket-Version", VERSION.as_bytes());
        count += 3;
    }
    head.fields = &fields[..count];
    write_response_head(out, &head);
}

/// A head without further fields.
fn head_of<'a>(
    reply: &Reply,
    common: HeadFields<'a>,
    status: Status,
    content: Content,
) -> ResponseHead<'a> {
    ResponseHead {
        status,
        content,
        date: Some(common.date),
        keep_alive: reply.keep_alive,
        version_minor: reply.version_minor,
        fields: &[],
        lines: common.cors.lines(reply.page),
    }
}

/// Whether a refusal says when the request may be made again (RFC 9110 15.6.4, RFC 6585 4).
fn may_be_retried(status: Status) -> bool {
    matches!(status, Status::ServiceUnavailable | Status::TooManyRequests)
}
