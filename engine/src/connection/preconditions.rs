//! Conditions that a request must satisfy on any target.

use std::sync::Arc;

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::RequestHead;

use super::context::Context;
use crate::access::{AccessControl, Client, Identified, Recheck};
use crate::guard::identity::Identity;
use crate::guard::refusal::Refusal;

/// Why a request is not handled as a message of MCP.
#[derive(Debug)]
pub(super) enum NotServed<'a> {
    /// It is refused by the protocol.
    Refused(Reason<'a>),
    /// It is refused by access control.
    Denied(Refusal),
    /// It is to be handled again.
    Later(Recheck),
    /// It is for the metadata document with this number.
    Document(usize),
}

impl<'a> From<Reason<'a>> for NotServed<'a> {
    fn from(reason: Reason<'a>) -> NotServed<'a> {
        NotServed::Refused(reason)
    }
}

/// Why no request is served now, if so.
#[inline]
pub(super) fn overload(context: &Context<'_>) -> Option<&'static str> {
    if context.is_for_probes {
        return Some("the server has no place for another connection");
    }
    let output_bytes_max = context.rules.connection.output_bytes_per_shard_max;
    let is_full = context.pool.output_bytes >= output_bytes_max;
    is_full.then_some("the unsent answers of all clients take too much memory")
}

/// The identity behind a request on an endpoint.
pub(super) fn identify<'a>(
    access: &mut AccessControl,
    head: &RequestHead<'_>,
    client: Client<'_>,
    has_waited: bool,
) -> Result<Option<Arc<Identity>>, NotServed<'a>> {
    match access.identify(head, client, has_waited) {
        Identified::Known(identity) => {
            let refusal = access.refusal_at(head, client.known, identity.as_deref());
            refusal.map_or(Ok(identity), |refusal| Err(NotServed::Denied(refusal)))
        }
        Identified::Malformed(refusal) => Err(Reason::Principal(refusal.to_string()).into()),
        Identified::Refused(refusal) => Err(NotServed::Denied(refusal)),
        Identified::Later(recheck) => Err(NotServed::Later(recheck)),
    }
}
