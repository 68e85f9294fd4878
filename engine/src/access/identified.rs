//! The results of looking for the identity behind a request.

use std::sync::Arc;

use crate::guard::holder::HolderKey;
use crate::guard::identity::Identity;
use crate::guard::network::ClientAddress;
use crate::guard::peer::KnownPeer;
use crate::guard::principal::PrincipalRefusal;
use crate::guard::refusal::Refusal;

/// The client of a request, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    /// The peer of the connection, if all requests on it have the same.
    pub(crate) known: Option<&'a KnownPeer>,
    /// Its source, once that was looked up.
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "without tokens none can fail")
    )]
    pub(crate) source: Option<HolderKey>,
    /// Its address, which a proxy may have named.
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "without tokens no address is compared here")
    )]
    pub(crate) address: Option<ClientAddress>,
}

/// The result of looking for the identity behind a request.
#[derive(Debug)]
pub(crate) enum Identified {
    /// A client with an identity, or an anonymous one.
    Known(Option<Arc<Identity>>),
    /// The header that names the principal is malformed.
    Malformed(PrincipalRefusal),
    /// The request is refused.
    Refused(Refusal),
    /// The request is to be handled again.
    Later(Recheck),
}

/// When a request is to be handled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "auth"),
    expect(dead_code, reason = "without tokens no request waits for one")
)]
pub(crate) enum Recheck {
    /// In the next turn: this one has verified as many tokens as it may.
    NextTurn,
    /// With the next snapshot of access control, which may have the key of the token.
    NextSnapshot,
    /// When the peer of the connection is known.
    PeerKnown,
}

/// The verification behind a result, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "auth"),
    expect(dead_code, reason = "without tokens nothing is verified")
)]
pub(super) enum Note {
    /// The token was verified now: it was in no cache.
    FirstSight,
    /// The token breaks this rule.
    Broke(&'static str),
}
