//! Who may, as one snapshot: the sections `[auth]` and `[policy]` of the configuration with the
//! keys of the moment.
//!
//! The control thread makes a snapshot and every shard takes it between two turns, so one request
//! never sees parts of two. It deliberately lacks files, the network and the path of a request.

use std::sync::Arc;

use crate::network::Networks;
use crate::policy::Policy;
use crate::refusal::Challenge;
use crate::token::verify::Verifier;

/// A snapshot of who may.
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
    pub endpoints: Vec<EndpointAccess>,
    /// The peers from which a header may name the principal; None if every peer may.
    pub trusted_proxies: Option<Networks>,
}

/// The parts of a snapshot that each endpoint has its own of.
#[derive(Debug, Default)]
pub struct EndpointAccess {
    /// The start of each challenge.
    pub challenge: Challenge,
    /// Scopes that every request needs, as names for a challenge; most endpoints need none.
    pub scopes: Vec<Box<str>>,
    /// The protected resource metadata, if there is an issuer (RFC 9728 2).
    pub metadata: Option<Metadata>,
}

/// A metadata document.
#[derive(Debug)]
pub struct Metadata {
    /// The targets that have it: the path form, and the root form of one endpoint (RFC 9728 3.1).
    pub paths: Vec<Box<str>>,
    /// The JSON text.
    pub body: Box<[u8]>,
}

/// A shard needs something that only the control thread can get. A question is never asked about
/// a token whose `iss` is not configured.
#[derive(Debug)]
pub enum Question {
    /// The keys of an issuer have none with this id.
    Key {
        /// The alias of the issuer.
        issuer: Box<str>,
        /// The id; None if the token has none.
        kid: Option<Box<str>>,
    },
}

/// The reaction to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The next snapshot has the answer, and it comes even if nothing changed: keep the request
    /// until then, or until its time is over.
    Pending,
    /// The answer is known to be no, or too much was asked: refuse the request.
    No,
}

/// Takes questions from shards. It never blocks.
pub trait Oracle: Send + Sync + std::fmt::Debug {
    /// Asks a question.
    fn ask(&self, question: Question) -> Asked;
}
