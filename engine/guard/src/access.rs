//! Access control as one snapshot: the sections `[auth]` and `[policy]` of the configuration with
//! the keys of the moment.
//!
//! The control thread makes a snapshot and every shard takes it between two turns, so one request
//! never sees parts of two. It deliberately lacks files, the network and the path of a request.

use std::sync::Arc;

use crate::bits::Bits256;
use crate::limit::file::Limits;
use crate::policy::Policy;
use crate::proxies::TrustedProxies;
use crate::refusal::Challenge;
use crate::token::fault::TokenFault;
use crate::token::verify::{Verified, Verifier};

/// A snapshot.
#[derive(Debug)]
pub struct Access {
    /// Grows with each snapshot.
    pub generation: u64,
    /// Grows with each snapshot that has another configuration than the one before, so that
    /// identities and views are made anew. Other keys alone do not change it.
    pub configuration: u64,
    /// Whether a request without a credential is refused. Otherwise it has the role `anonymous`.
    pub requires_credential: bool,
    /// Verifies tokens and API keys.
    pub verifier: Verifier,
    /// Which identity may use which entry.
    pub policy: Arc<Policy>,
    /// By the paths of the endpoints, in the order of the profile.
    pub endpoints: Arc<[EndpointAccess]>,
    /// The peers from which a header may name the principal.
    pub trusted_proxies: TrustedProxies,
    /// How much each client may do.
    pub limits: Arc<Limits>,
}

/// The parts of a snapshot that each endpoint has its own of.
#[derive(Debug, Default)]
pub struct EndpointAccess {
    /// The path of the endpoint.
    pub path: Box<str>,
    /// The start of each challenge.
    pub challenge: Challenge,
    /// Scopes that every request needs, as names for a challenge; most endpoints need none.
    pub scopes: Vec<Box<str>>,
    /// The same as bits of the policy: all of them must be among those of the identity.
    pub scope_bits: Bits256,
    /// The roles of the policy that may use the endpoint, of which an identity needs one. None if
    /// every identity may.
    pub roles: Option<Bits256>,
    /// The protected resource metadata, if there is an issuer (RFC 9728 2).
    pub metadata: Option<Metadata>,
}

/// A metadata document.
#[derive(Debug)]
pub struct Metadata {
    /// The targets that have it (RFC 9728 3.1): the path form of the endpoint, and that of its
    /// resource if a proxy changes paths; for one endpoint, the root form.
    pub paths: Vec<Box<str>>,
    /// The JSON text.
    pub body: Box<[u8]>,
}

/// Work of a shard that only the control thread can do. Each is about an issuer of the
/// configuration, by its alias.
pub enum IssuerRequest {
    /// Fetch the keys: those of the snapshot have none with this id.
    Key {
        /// The alias of the issuer.
        issuer: Box<str>,
        /// The id; None if the token has none.
        kid: Option<Box<str>>,
    },
    /// Introspect an opaque token (RFC 7662).
    Introspect {
        /// The alias of the issuer.
        issuer: Box<str>,
        /// The token.
        token: Box<[u8]>,
        /// Takes the result, on the control thread.
        reply: Box<dyn FnOnce(Result<Verified, TokenFault>) + Send>,
    },
}

/// The state of a request to an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// A snapshot or a reply follows, even if nothing is different: keep the message until then,
    /// or until its time is over.
    Pending,
    /// The result is known to be negative: refuse the message.
    Refused,
    /// Too much was requested before: the result may be known later, and the client should try
    /// again then.
    Busy,
}

/// Takes requests of shards to issuers. It never blocks.
pub trait Issuers: Send + Sync + std::fmt::Debug {
    /// Makes a request.
    fn request(&self, request: IssuerRequest) -> RequestState;
}
