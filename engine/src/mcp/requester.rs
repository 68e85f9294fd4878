//! The sender of a message: a client on a connection of this shard, or of another.

use corelane_protocol::binding::claims::Claims;

use crate::guard::holder::{HolderKey, Holders};
use crate::handler::caller_info::{CallerInfo, ExposedHeaders};

/// The sender of a message. Having one means that the guard let the message pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requester<'a> {
    /// A client on a connection of this shard.
    Here {
        /// The headers of the message, on a transport that has any.
        claims: Claims<'a>,
        /// Its principal; an anonymous client has none.
        principal: Option<&'a str>,
        /// Its holder if it is anonymous, once that was looked up.
        peer: Option<HolderKey>,
    },
    /// A client on a connection of another shard, which sent the facts needed here.
    Elsewhere(Option<&'a CallerInfo>),
}

impl<'a> Requester<'a> {
    /// Its principal; an anonymous client has none.
    pub(crate) fn principal(self) -> Option<&'a str> {
        match self {
            Requester::Here { principal, .. } => principal,
            Requester::Elsewhere(caller_info) => caller_info?.principal(),
        }
    }

    /// Its holder; none if it must be looked up first. A forwarded message holds nothing by itself:
    /// sessions know their holders.
    pub(super) fn holder(self, holders: &Holders) -> Option<HolderKey> {
        match (self.principal(), self) {
            (Some(name), _) => Some(holders.of_principal(name)),
            (None, Requester::Here { peer, .. }) => peer,
            (None, Requester::Elsewhere(_)) => Some(HolderKey::ANONYMOUS),
        }
    }

    /// The facts that a handler may see. Headers are read only if some are exposed.
    #[inline]
    pub(super) fn caller_info(self, exposed: &ExposedHeaders) -> Option<Box<CallerInfo>> {
        match self {
            Requester::Here {
                claims, principal, ..
            } => match (principal, exposed.is_empty()) {
                (None, true) => None,
                (_, true) => CallerInfo::of(principal, exposed, std::iter::empty()),
                (_, false) => CallerInfo::of(principal, exposed, claims.fields()),
            },
            Requester::Elsewhere(caller_info) => caller_info.cloned().map(Box::new),
        }
    }

    /// The headers of the message; those of a forwarded message were checked where it came in.
    pub(super) fn claims(self) -> Claims<'a> {
        match self {
            Requester::Here { claims, .. } => claims,
            Requester::Elsewhere(_) => Claims::NONE,
        }
    }
}
