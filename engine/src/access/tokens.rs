//! Tokens and API keys, with the snapshot of access control that a shard has.

use std::sync::Arc;

use corelane_protocol::framing::http1::{Field, RequestHead};

use super::board::AccessBoard;
use super::failed::FailedCredentials;
use super::identified::{Client, Identified, Note, Recheck};
use super::introspecting::Introspecting;
use crate::guard::access::{Access, EndpointAccess, IssuerRequest, RequestState};
use crate::guard::bits::Bits256;
use crate::guard::credential::{self, Bearer};
use crate::guard::holder::HolderKey;
use crate::guard::identity::Identity;
use crate::guard::limit::failures::Attempt;
use crate::guard::limit::file::Limits;
use crate::guard::peer::KnownPeer;
use crate::guard::policy::{GrantId, Policy};
use crate::guard::refusal::{Answer, Challenge, Refusal};
use crate::guard::token::cache::{CacheLimits, TokenCache};
use crate::guard::token::fault::TokenFault;
use crate::guard::token::verify::Circumstances;
use crate::guard::token::{Authenticator, Checked};
use crate::handler::wakers::WakeShard;
use crate::profile::{Auth, ClientLimits};

/// The start of the paths of metadata documents (RFC 9728 3).
const METADATA_PREFIX: &str = "/.well-known/oauth-protected-resource";

/// How long a stream outlives its credential, in seconds: clients renew a token some time before
/// it expires, and open the stream again with the new one.
const STREAM_GRACE_S: u64 = 60;

/// The limits of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenLimits {
    /// Limits of the cache.
    pub(crate) cache: CacheLimits,
    /// Tokens that one turn verifies; at least 1.
    pub(crate) checks_per_turn: u32,
    /// The longest token, in bytes.
    pub(crate) token_bytes_max: usize,
    /// How long a request waits for the key of its token, in milliseconds.
    pub(crate) key_wait_ms: u64,
    /// Requests that wait at once.
    pub(crate) key_waits_max: usize,
    /// Sources with failed credentials that are counted.
    pub(crate) sources_max: usize,
}

impl TokenLimits {
    /// The limits of a profile.
    pub(crate) fn of(auth: &Auth, limits: &ClientLimits) -> TokenLimits {
        TokenLimits {
            cache: CacheLimits {
                entries_max: auth.cache_entries_max,
                refused_max: auth.refused_entries_max,
                ttl_s: auth.cache_ttl_ms / 1000,
                ..CacheLimits::default()
            },
            checks_per_turn: auth.signature_checks_per_turn,
            token_bytes_max: auth.token_bytes_max,
            key_wait_ms: auth.key_wait_ms,
            key_waits_max: auth.key_waits_max,
            sources_max: limits.buckets_max,
        }
    }
}

/// Tokens, as one shard verifies them.
pub(crate) struct Tokens {
    board: Arc<AccessBoard>,
    access: Arc<Access>,
    authenticator: Authenticator,
    limits: TokenLimits,
    /// Whether a rule or an API key depends on the address of the peer.
    needs_addresses: bool,
    introspecting: Introspecting,
    failed: FailedCredentials,
    checks_left: u32,
    now_s: u64,
}

impl Tokens {
    /// With the snapshot of `board`.
    ///
    /// # Panics
    /// If the operating system has no random bits: there is no safe way to continue.
    pub(crate) fn new(board: Arc<AccessBoard>, limits: TokenLimits, wake: WakeShard) -> Tokens {
        let access = board.present();
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the operating system has random bits");
        let cache = TokenCache::new(limits.cache, &secret);
        Tokens {
            authenticator: Authenticator::new(access.verifier.clone(), cache),
            needs_addresses: needs_addresses(&access),
            failed: FailedCredentials::new(access.limits.failed_credentials, limits.sources_max),
            board,
            access,
            limits,
            introspecting: Introspecting::new(limits.key_waits_max, wake),
            checks_left: limits.checks_per_turn,
            now_s: 0,
        }
    }

    /// Begins a turn. Returns whether there is another snapshot, or a result of introspection.
    pub(crate) fn begin_turn(&mut self, now_ms: u64, now_s: u64) -> bool {
        self.now_s = now_s;
        self.failed.begin_turn(now_ms);
        self.checks_left = self.limits.checks_per_turn;
        let mut has_results = false;
        while let Some((token, result)) = self.introspecting.poll() {
            self.authenticator.keep_introspected(&token, result, now_s);
            has_results = true;
        }
        let Some(access) = self.board.after(self.access.generation) else {
            return has_results;
        };
        let keeps = access.configuration == self.access.configuration;
        self.authenticator.update(access.verifier.clone(), keeps);
        self.needs_addresses = needs_addresses(&access);
        self.failed.configure(access.limits.failed_credentials);
        self.access = access;
        true
    }

    /// Whether the peers of all connections must be known.
    pub(crate) fn needs_addresses(&self) -> bool {
        self.needs_addresses
    }

    /// The result for a request with a credential in its field `Authorization`, with its note for
    /// the audit log; None without one.
    pub(super) fn identify(
        &mut self,
        head: &RequestHead<'_>,
        client: Client<'_>,
        has_waited: bool,
    ) -> Option<(Identified, Option<Note>)> {
        let query = head.query.unwrap_or_default().as_bytes();
        let values: &[&[u8]] = match &head.authorization {
            Field::Absent => &[],
            Field::Once(value) => std::slice::from_ref(value),
            Field::Repeated => &[b"", b""],
        };
        match credential::read(values, query, self.limits.token_bytes_max) {
            Err(fault) => Some((Identified::Refused(Refusal::Request(fault)), None)),
            Ok(Some(token)) => Some(self.check(token, client, has_waited)),
            Ok(None) => None,
        }
    }

    /// Checks a token. The source of the client must be known unless the token is valid and was
    /// verified before.
    fn check(
        &mut self,
        token: Bearer<'_>,
        client: Client<'_>,
        has_waited: bool,
    ) -> (Identified, Option<Note>) {
        let known = client.known;
        let circumstances = Circumstances {
            now_s: self.now_s,
            certificate: known.and_then(|peer| peer.certificate.as_deref()),
            address: client.address,
        };
        let unproved = match self.authenticator.find(token, &circumstances) {
            Ok(identity) => return (Identified::Known(Some(identity)), None),
            Err(unproved) => unproved,
        };
        let Some(source) = client.source else {
            return (Identified::Later(Recheck::PeerKnown), None);
        };
        let attempt = Attempt::new(source, token.as_bytes());
        if let Some(refusal) = self.failed.refusal_of(attempt) {
            return (Identified::Refused(refusal), None);
        }
        let checks_left = &mut self.checks_left;
        let checked = self
            .authenticator
            .verify(token, unproved, &circumstances, checks_left);
        match checked {
            Checked::Valid(identity) => (Identified::Known(Some(identity)), Some(Note::FirstSight)),
            Checked::Later => (Identified::Later(Recheck::NextTurn), None),
            Checked::Refused(TokenFault::UnknownKey) => {
                let fault = TokenFault::UnknownKey;
                let note = Note::Broke(fault.rule());
                match self.request_key_of(token, fault) {
                    RequestState::Pending if !has_waited => {
                        (Identified::Later(Recheck::NextSnapshot), None)
                    }
                    // The issuer may have the key, and its user is not to log in again.
                    RequestState::Pending | RequestState::Busy => {
                        (Identified::Refused(Refusal::Unavailable), Some(note))
                    }
                    RequestState::Refused => (Identified::Refused(fault.refusal()), Some(note)),
                }
            }
            Checked::Refused(TokenFault::NotIntrospected)
                if !has_waited && self.introspects(token, source) =>
            {
                (Identified::Later(Recheck::NextSnapshot), None)
            }
            Checked::Refused(fault) => {
                if fault == TokenFault::Signature {
                    // No request waits for it.
                    self.request_key_of(token, fault);
                }
                self.failed.count(attempt, fault);
                let note = Note::Broke(fault.rule());
                (Identified::Refused(fault.refusal()), Some(note))
            }
        }
    }

    /// Requests the key of a token with this fault. After a wrong signature that is any key: there
    /// may be another one with the same id.
    fn request_key_of(&self, token: Bearer<'_>, fault: TokenFault) -> RequestState {
        let verifier = self.authenticator.verifier();
        let Some((issuer, kid)) = verifier.unknown_key_of(token.as_bytes()) else {
            return RequestState::Refused;
        };
        let issuer = issuer.alias.clone();
        let kid = kid.filter(|_| fault == TokenFault::UnknownKey);
        self.board.request(IssuerRequest::Key { issuer, kid })
    }

    /// Requests the introspection of a token. Returns whether its result comes.
    fn introspects(&mut self, token: Bearer<'_>, source: HolderKey) -> bool {
        let Some(issuer) = self.authenticator.verifier().opaque_issuer() else {
            return false;
        };
        let (alias, token) = (issuer.alias.clone(), token.as_bytes().into());
        self.introspecting.begin(&self.board, alias, token, source)
    }

    /// Counts a credential that failed on another shard.
    pub(super) fn record_failure(&mut self, attempt: Attempt) {
        self.failed.record(attempt);
    }

    /// The next credential that failed here, for the other shards.
    pub(super) fn poll_failure(&mut self) -> Option<Attempt> {
        self.failed.poll()
    }

    /// How much each client may do.
    pub(super) fn client_limits(&self) -> &Arc<Limits> {
        &self.access.limits
    }

    /// Whether a peer may name the principal of its requests in a header.
    pub(super) fn may_name_principal(&self, known: Option<&KnownPeer>) -> bool {
        self.access.trusted_proxies.contain(known)
    }

    /// Whether an identity has the roles and scopes of the present policy.
    pub(super) fn is_current(&self, identity: &Identity) -> bool {
        identity.policy == self.access.policy.id()
    }

    /// An identity with the roles and scopes of the present policy.
    pub(super) fn refreshed(&self, identity: Arc<Identity>) -> Arc<Identity> {
        match self.is_current(&identity) {
            true => identity,
            false => Arc::new(Identity::clone(&identity).under(&self.access.policy)),
        }
    }

    /// The refusal of a request to the endpoint with this path for the audience of its token, and
    /// for the roles and the scopes of its identity.
    pub(super) fn refusal_at(&self, path: &str, identity: Option<&Identity>) -> Option<Refusal> {
        let place = self.place_of_endpoint(path)?;
        let endpoint = &self.access.endpoints[place];
        let audience = identity.and_then(|identity| identity.endpoints.as_ref());
        if audience.is_some_and(|endpoints| !endpoints.contains(place)) {
            return Some(TokenFault::Audience.refusal());
        }
        if let Some(allowed) = &endpoint.roles
            && allowed.is_disjoint(&self.roles_of(identity))
        {
            return Some(Refusal::Denied);
        }
        if endpoint.scopes.is_empty() {
            return None;
        }
        let scopes = identity.map(|identity| identity.scopes).unwrap_or_default();
        let has_all = endpoint.scope_bits.is_subset_of(&scopes);
        (!has_all).then(|| Refusal::InsufficientScope(endpoint.scopes.join(" ").into()))
    }

    /// Whether a stream that was opened with a credential that expires then must have ended.
    pub(super) fn is_past(&self, expires_s: u64) -> bool {
        expires_s.saturating_add(STREAM_GRACE_S) <= self.now_s
    }

    /// Why the client of a channel, who proved this identity when it was opened at the endpoint
    /// with this path, may not use it any longer; None if it may.
    pub(super) fn end_of(
        &self,
        identity: &Arc<Identity>,
        endpoint: Option<&str>,
    ) -> Option<&'static str> {
        let now_s = self.now_s.saturating_sub(STREAM_GRACE_S);
        if !self.access.verifier.still_proves(identity, now_s) {
            return Some("the credential is no longer valid");
        }
        let identity = self.refreshed(Arc::clone(identity));
        let refusal = self.refusal_at(endpoint?, Some(&identity));
        refusal.map(|_| "the client may no longer use this endpoint")
    }

    /// The roles of an identity, or of a client without one.
    fn roles_of(&self, identity: Option<&Identity>) -> Bits256 {
        let policy = &self.access.policy;
        match identity {
            Some(identity) if self.is_current(identity) => identity.roles,
            Some(identity) => Identity::clone(identity).under(policy).roles,
            None => policy.roles_of_anonymous(),
        }
    }

    /// The answer to a refused request to the endpoint with this path.
    pub(super) fn answer(&self, refusal: &Refusal, path: &str) -> Answer {
        match self.endpoint(path) {
            Some(endpoint) => refusal.answer(&endpoint.challenge, None),
            None => refusal.answer(&Challenge::default(), None),
        }
    }

    /// The challenge for the scopes of a grant of this policy.
    pub(super) fn scope_challenge(&self, rule: u16, of: u64) -> Option<String> {
        let policy = &self.access.policy;
        let endpoint = self.access.endpoints.first();
        let endpoint = endpoint.filter(|_| policy.id() == of)?;
        let mut scopes = policy.challenge_scopes(GrantId::new(rule));
        for scope in &endpoint.scopes {
            if !scopes.contains(&&**scope) {
                scopes.push(scope);
            }
        }
        let refusal = Refusal::InsufficientScope(scopes.join(" ").into());
        refusal.answer(&endpoint.challenge, None).www_authenticate
    }

    fn endpoint(&self, path: &str) -> Option<&EndpointAccess> {
        Some(&self.access.endpoints[self.place_of_endpoint(path)?])
    }

    /// The place of the endpoint with this path; a slash at the end makes no difference. Targets of
    /// other transports have the first endpoint.
    fn place_of_endpoint(&self, path: &str) -> Option<usize> {
        let bare = |path: &'_ str| path.len() - usize::from(path.ends_with('/'));
        let is_it = |it: &EndpointAccess| it.path[..bare(&it.path)] == path[..bare(path)];
        let endpoints = &self.access.endpoints;
        let place = endpoints.iter().position(is_it);
        place.or_else(|| (!endpoints.is_empty()).then_some(0))
    }

    /// The number of the metadata document at a path.
    pub(super) fn metadata_at(&self, path: &str) -> Option<usize> {
        if !path.starts_with(METADATA_PREFIX) {
            return None;
        }
        self.access.endpoints.iter().position(|endpoint| {
            let metadata = endpoint.metadata.as_ref();
            metadata.is_some_and(|it| it.paths.iter().any(|it| **it == *path))
        })
    }

    /// A metadata document.
    pub(super) fn metadata(&self, document: usize) -> Vec<u8> {
        let endpoint = self.access.endpoints.get(document);
        let metadata = endpoint.and_then(|endpoint| endpoint.metadata.as_ref());
        metadata.map_or_else(Vec::new, |metadata| metadata.body.to_vec())
    }

    /// The number of the configuration, see [`Access::configuration`].
    pub(super) fn configuration(&self) -> u64 {
        self.access.configuration
    }

    /// The policy.
    pub(super) fn policy(&self) -> &Arc<Policy> {
        &self.access.policy
    }

    /// The limits of the profile.
    pub(super) fn limits(&self) -> &TokenLimits {
        &self.limits
    }

    /// Whether another token may be verified in this turn.
    pub(super) fn has_checks_left(&self) -> bool {
        self.checks_left > 0
    }

    /// Whether a request without a credential is refused.
    pub(super) fn requires_credential(&self) -> bool {
        self.access.requires_credential
    }
}

fn needs_addresses(access: &Access) -> bool {
    access.policy.has_addresses() || access.verifier.has_addresses()
}
