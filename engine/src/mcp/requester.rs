//! The sender of a message: a client on a connection of this shard, or of another.

use std::sync::Arc;

use corelane_protocol::binding::claims::Claims;

use crate::guard::holder::HolderKey;
use crate::guard::identity::Identity;
use crate::guard::network::ClientAddress;
use crate::handler::caller_info::{CallerInfo, ExposedHeaders};

/// The sender of a message. Having one means that the guard let the message pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requester<'a> {
    /// A client on a connection of this shard.
    Here {
        /// The headers of the message, on a transport that has any.
        claims: Claims<'a>,
        /// Its identity; an anonymous client has none.
        identity: Option<&'a Arc<Identity>>,
        /// Its address, if access control depends on addresses.
        address: Option<ClientAddress>,
        /// Its holder if it is anonymous, once that was looked up.
        peer: Option<HolderKey>,
    },
    /// A client on a connection of another shard, which sent the facts needed here.
    Elsewhere(Option<&'a CallerInfo>),
}

impl<'a> Requester<'a> {
    /// Its identity; an anonymous client has none.
    pub(crate) fn identity(self) -> Option<&'a Arc<Identity>> {
        match self {
            Requester::Here { identity, .. } => identity,
            Requester::Elsewhere(caller_info) => caller_info?.identity(),
        }
    }

    /// Its address, if access control depends on addresses.
    pub(crate) fn address(self) -> Option<ClientAddress> {
        match self {
            Requester::Here { address, .. } => address,
            Requester::Elsewhere(caller_info) => caller_info?.address(),
        }
    }

    /// The key of its principal; an anonymous client has none.
    pub(crate) fn principal(self) -> Option<&'a str> {
        self.identity().map(|identity| identity.principal_key())
    }

    /// Its holder; none if it must be looked up first. A forwarded message holds nothing by itself:
    /// sessions know their holders.
    pub(super) fn holder(self) -> Option<HolderKey> {
        match (self.identity(), self) {
            (Some(identity), _) => Some(identity.holder()),
            (None, Requester::Here { peer, .. }) => peer,
            (None, Requester::Elsewhere(_)) => Some(HolderKey::ANONYMOUS),
        }
    }

    /// The facts that a handler may see. Headers are read only if some are exposed.
    #[inline]
    pub(super) fn caller_info(self, exposed: &ExposedHeaders) -> Option<Box<CallerInfo>> {
        match self {
            Requester::Here {
                claims,
                identity,
                address,
                ..
            } => match (identity, exposed.is_empty()) {
                (None, true) if address.is_none() => None,
                (_, true) => CallerInfo::of((identity, address), exposed, std::iter::empty()),
                (_, false) => CallerInfo::of((identity, address), exposed, claims.fields()),
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
