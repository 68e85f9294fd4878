//! Messages of a channel, which all requests of a connection share (MCP basic/transports, "stdio").
//!
//! The only place for a refusal is the answer of a request: a refused notification or response is
//! dropped. Requests are cancelled by their ids, in both eras.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Document, Id, Message, OwnedId, Value};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::meta::Meta;
use corelane_protocol::mcp::method::NotificationMethod;

use super::Services;
use crate::mcp::disposition::Disposition;
use crate::mcp::forward_budget::PostedBody;
use crate::mcp::inbound::Inbound;

impl Services {
    /// Admits a message or a batch of a channel. Gives the id of a request that waits for its
    /// answer.
    pub(in crate::mcp) fn admit_on_channel(
        &mut self,
        inbound: Inbound<'_>,
        (document, body): (Document<'_>, PostedBody<'_>),
        out: &mut Vec<u8>,
    ) -> (Disposition, Option<OwnedId>) {
        if document.is_batch() {
            return (self.admit_batch(inbound, (document, body), out), None);
        }
        match document.message() {
            Ok(Message::Request { id, method, params }) => {
                let claim = claim_on_legacy(inbound, params);
                let disposition = match self.refuse_on_channel(inbound, id, out) {
                    Some(refused) => refused,
                    None if claim.is_some() => {
                        let version = claim.unwrap_or_default();
                        let reason = Reason::UnsupportedVersion(version);
                        self.context.refuse(Some(id), reason, out)
                    }
                    None if is_early_ping(inbound, method, params) => {
                        self.context.trailer.write_empty(out, Era::Legacy, id);
                        Disposition::ok()
                    }
                    None => self.admit(inbound, (document, body), out),
                };
                let is_answered = matches!(disposition, Disposition::Answer { .. });
                (disposition, (!is_answered).then(|| OwnedId::from(id)))
            }
            Ok(Message::Notification { method, params }) if is_cancellation(method) => {
                let id = params
                    .and_then(|params| params.as_object())
                    .and_then(|object| object.get("requestId"))
                    .and_then(Id::read);
                let cancelled = id.map(OwnedId::from).map(Disposition::Cancel);
                (cancelled.unwrap_or(Disposition::Accepted), None)
            }
            Ok(Message::Notification { .. } | Message::Response { .. }) => {
                let start = out.len();
                self.admit(inbound, (document, body), out);
                out.truncate(start);
                (Disposition::Accepted, None)
            }
            Err(_) => (self.admit(inbound, (document, body), out), None),
        }
    }

    /// Refuses a request while the connection takes none.
    fn refuse_on_channel(
        &self,
        inbound: Inbound<'_>,
        id: Id<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Disposition> {
        let overload = inbound.channel.and_then(|channel| channel.overload);
        let reason = match overload {
            _ if self.context.is_draining() => Reason::Draining,
            Some(text) => Reason::Overloaded(text),
            None => return None,
        };
        Some(self.context.refuse(Some(id), reason, out))
    }
}

/// Whether a request is the one that a legacy client may make before it has a session (MCP
/// 2025-11-25 basic/lifecycle, "Initialization").
fn is_early_ping(inbound: Inbound<'_>, method: &str, params: Option<Value<'_>>) -> bool {
    let has_session = inbound.channel.is_some_and(|it| it.session.is_some());
    let is_legacy =
        || Meta::read(params).is_ok_and(|meta| meta.is_none_or(|it| it.claim.is_none()));
    method == "ping" && !has_session && is_legacy()
}

/// The modern revision that a request claims on a transport that is older than it.
fn claim_on_legacy<'a>(inbound: Inbound<'_>, params: Option<Value<'a>>) -> Option<&'a str> {
    let is_legacy = inbound.channel.is_some_and(|channel| channel.is_legacy);
    let meta = Meta::of_params(params).filter(|_| is_legacy)?;
    Some(meta.claim?.as_str().unwrap_or_default())
}

fn is_cancellation(method: &str) -> bool {
    NotificationMethod::lookup(Era::Legacy, method) == Some(NotificationMethod::Cancelled)
}
