//! Conditions that a request must satisfy on any target.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::RequestHead;

use super::context::{Context, Rules};
use crate::guard::peer::KnownPeer;

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

/// The principal: that of a header, else that of the connection.
pub(super) fn principal_of<'a>(
    head: &RequestHead<'a>,
    rules: &Rules,
    known: Option<&'a KnownPeer>,
) -> Result<Option<&'a str>, Reason<'a>> {
    let of_connection = known.and_then(KnownPeer::principal);
    let Some(header) = &rules.principal else {
        return Ok(of_connection);
    };
    let principal = header.read(head.headers());
    let principal = principal.map(|it| it.or(of_connection));
    principal.map_err(|refusal| Reason::Principal(refusal.to_string()))
}
