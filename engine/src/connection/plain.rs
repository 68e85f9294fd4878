//! Answers that are no messages of MCP: to OPTIONS, to HEAD, and to probes.

use corelane_protocol::binding::http::{ENDPOINT_VERBS, Route};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{Content, Method, RequestHead, Status};

use super::context::{Context, Rules};
use super::preconditions::NotServed;
use super::probe::PROBE_VERBS;
use super::reply::Reply;
use super::response;
use super::sse::SseRequest;
use crate::profile::Probe;

/// A request that is answered without a message of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// OPTIONS on a target that takes these verbs.
    Options(&'static str),
    /// HEAD on the endpoint: the head of a stream.
    StreamHead,
    /// A probe.
    Probe(Probe),
    /// A request of HTTP+SSE.
    Sse(SseRequest),
    /// The metadata of the protected resource with this number (RFC 9728).
    Metadata(usize),
}

impl Plain {
    /// The plain request that the result of the checks is for, if it is one.
    #[inline]
    pub(super) fn of<T>(
        checked: &Result<(Route<'_>, T), NotServed<'_>>,
        head: &RequestHead<'_>,
        rules: &Rules,
    ) -> Option<Plain> {
        match checked {
            Ok((Route::Options, _)) => Some(Plain::Options(ENDPOINT_VERBS)),
            Ok((Route::Head, _)) => Some(Plain::StreamHead),
            Err(NotServed::Document(_)) if head.method == Method::Options => {
                Some(Plain::Options(PROBE_VERBS))
            }
            Err(NotServed::Document(document)) => Some(Plain::Metadata(*document)),
            Err(NotServed::Refused(Reason::Path(_))) => match SseRequest::of(head, rules) {
                Ok(Some(request)) => Some(Plain::Sse(request)),
                _ => probe_of(head, rules).map(Plain::Probe),
            },
            Err(NotServed::Refused(Reason::Verb(allow))) if head.method == Method::Options => {
                Some(Plain::Options(allow))
            }
            _ => None,
        }
    }

    /// Writes the answer to a request of any other kind than HTTP+SSE.
    #[cold]
    pub(super) fn answer(self, head: &RequestHead<'_>, reply: &Reply, context: &mut Context<'_>) {
        let fields = context.head_fields();
        match self {
            Plain::Options(allow) => {
                let mut more = match reply.page {
                    Some(_) => context.rules.cors.preflight(head, allow),
                    None => Vec::new(),
                };
                more.push(("Allow", allow.as_bytes().to_vec()));
                let more: Vec<_> = more
                    .iter()
                    .map(|(name, value)| (*name, &value[..]))
                    .collect();
                let about = (Status::NoContent, Content::None);
                response::write_with_fields(context.out(), reply, fields, about, &more);
            }
            Plain::StreamHead => {
                let more: [(&str, &[u8]); 2] = [
                    ("Content-Type", b"text/event-stream"),
                    ("Cache-Control", b"no-cache"),
                ];
                let about = (Status::Ok, Content::Omitted);
                response::write_with_fields(context.out(), reply, fields, about, &more);
            }
            Plain::Probe(probe) => {
                let (status, body) = probe.answer(context);
                let no_store: [(&str, &[u8]); 1] = [("Cache-Control", b"no-store")];
                write_document(reply, (status, body.as_bytes()), &no_store, context);
            }
            Plain::Metadata(document) => {
                let body = context.access.metadata(document);
                let mut more: Vec<(&str, &[u8])> = vec![("Cache-Control", b"max-age=300")];
                if reply.page.is_none() {
                    more.push(("Access-Control-Allow-Origin", b"*"));
                }
                write_document(reply, (Status::Ok, &body), &more, context);
            }
            Plain::Sse(_) => unreachable!("a connection answers it"),
        }
    }
}

/// Writes the answer with a JSON document, or its head alone.
fn write_document(
    reply: &Reply,
    (status, body): (Status, &[u8]),
    more: &[(&str, &[u8])],
    context: &mut Context<'_>,
) {
    let content = match reply.is_head() {
        true => Content::Omitted,
        false => Content::Json(body.len()),
    };
    let fields = context.head_fields();
    response::write_with_fields(context.out(), reply, fields, (status, content), more);
    if !reply.is_head() {
        context.out().extend_from_slice(body);
    }
}

/// Why a request is refused whose path is not the endpoint: for its verb, if the path is of a probe
/// or of HTTP+SSE.
#[cold]
pub(super) fn other_target<'a>(
    reason: Reason<'a>,
    head: &RequestHead<'_>,
    rules: &Rules,
) -> Reason<'a> {
    if !matches!(reason, Reason::Path(_)) {
        return reason;
    }
    let is_read = matches!(head.method, Method::Get | Method::Head);
    match SseRequest::of(head, rules) {
        Err(reason) => reason,
        Ok(None) if probe_of(head, rules).is_some() && !is_read => Reason::Verb(PROBE_VERBS),
        Ok(_) => reason,
    }
}

/// The probe that the path of a request names, if probes are answered.
pub(super) fn probe_of(head: &RequestHead<'_>, rules: &Rules) -> Option<Probe> {
    Probe::of_path(head.path).filter(|_| rules.http_settings.has_probes)
}
