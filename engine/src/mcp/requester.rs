//! The sender of a message: a client on a connection of this shard, or of another.

use std::sync::Arc;

use corelane_protocol::binding::claims::Claims;

use crate::guard::holder::HolderKey;
use crate::guard::identity::Identity;
use crate::guard::network::ClientAddress;
use crate::guard::subject::SubjectToken;
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
            // A handler gets no token.
            Requester::Elsewhere(caller_info) => caller_info.map(CallerInfo::of_handler),
        }
    }

    /// The facts that another shard needs: those that a handler may see, and its access token if
    /// upstreams get others that are exchanged for it.
    pub(super) fn forwarded_info(
        self,
        exposed: &ExposedHeaders,
        exchanges_tokens: bool,
    ) -> Option<Box<CallerInfo>> {
        let mut caller_info = self.caller_info(exposed);
        if let Some(caller_info) = caller_info.as_mut().filter(|_| exchanges_tokens) {
            caller_info.subject = self.subject_token();
        }
        caller_info
    }

    /// Its access token, if it has one.
    pub(super) fn subject_token(self) -> Option<SubjectToken> {
        match self {
            Requester::Here {
                claims, identity, ..
            } => SubjectToken::of(identity?, claims.fields()),
            Requester::Elsewhere(caller_info) => caller_info?.subject.clone(),
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
