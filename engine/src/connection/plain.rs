//! Answers that are no messages of MCP: to OPTIONS, to HEAD, and to probes.

use corelane_protocol::binding::http::{ENDPOINT_VERBS, Route};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{Content, Method, RequestHead, Status};

use super::buffers::Reply;
use super::context::{Context, Rules};
use super::probe::{PROBE_VERBS, Probe};
use super::response;

/// A request that is answered without a message of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// OPTIONS on a target that takes these verbs.
    Options(&'static str),
    /// HEAD on the endpoint: the head of a stream.
    StreamHead,
    /// A probe.
    Probe(Probe),
}

impl Plain {
    /// The plain request that the result of the checks is for, if it is one.
    #[inline]
    pub(super) fn of<T>(
        checked: &Result<(Route<'_>, T), Reason<'_>>,
        head: &RequestHead<'_>,
        rules: &Rules,
    ) -> Option<Plain> {
        match checked {
            Ok((Route::Options, _)) => Some(Plain::Options(ENDPOINT_VERBS)),
            Ok((Route::Head, _)) => Some(Plain::StreamHead),
            Err(Reason::Path(_)) => match (head.method, probe_of(head, rules)?) {
                (Method::Get | Method::Head, probe) => Some(Plain::Probe(probe)),
                (Method::Options, _) => Some(Plain::Options(PROBE_VERBS)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Writes the answer.
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
                let content = match reply.is_head {
                    true => Content::Omitted,
                    false => Content::Json(body.len()),
                };
                let no_store: [(&str, &[u8]); 1] = [("Cache-Control", b"no-store")];
                let about = (status, content);
                response::write_with_fields(context.out(), reply, fields, about, &no_store);
                if !reply.is_head {
                    context.out().extend_from_slice(body.as_bytes());
                }
            }
        }
    }
}

/// The probe that the path of a request names, if probes are answered.
pub(super) fn probe_of(head: &RequestHead<'_>, rules: &Rules) -> Option<Probe> {
    Probe::of_path(head.path).filter(|_| rules.http_settings.has_probes)
}
