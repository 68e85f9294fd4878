//! Access control of one shard: from a request to the identity behind it, or its refusal.
//!
//! Without a configuration of access control, the header of a proxy names the principal, or the
//! connection does, or the client is anonymous. With one, a credential is required or optional, and
//! a credential that is present and bad is always refused.
//!
//! It deliberately lacks entries of the catalog, which `mcp` decides about, and the path of an
//! answer.

#[cfg(feature = "auth")]
mod board;
#[cfg(feature = "auth")]
mod failed;
mod identified;
#[cfg(feature = "auth")]
mod introspecting;
mod records;
#[cfg(feature = "auth")]
mod tokens;
#[cfg(not(feature = "auth"))]
mod without_tokens;

use std::collections::HashMap;
use std::sync::Arc;

use corelane_protocol::binding::refusal::Category;
use corelane_protocol::framing::http1::{Field, RequestHead};

#[cfg(feature = "auth")]
pub(crate) use board::AccessBoard;
use identified::Note;
pub(crate) use identified::{Client, Identified, Recheck};
use records::CredentialRecords;
#[cfg(feature = "auth")]
pub(crate) use tokens::{TokenLimits, Tokens};
#[cfg(not(feature = "auth"))]
pub(crate) use without_tokens::{AccessBoard, TokenLimits, Tokens};

use crate::audit::AuditPort;
use crate::guard::forwarded;
use crate::guard::identity::{Identity, Method};
use crate::guard::limit::failures::Attempt;
use crate::guard::limit::file::Limits;
use crate::guard::network::{ClientAddress, Networks};
use crate::guard::peer::KnownPeer;
use crate::guard::policy::Policy;
use crate::guard::principal::{PrincipalHeader, PrincipalRefusal};
use crate::guard::refusal::{Answer, Challenge, Refusal};
use crate::handler::wakers::WakeShard;
use crate::profile::ShardProfile;

/// The names of principals whose identities are kept, of each kind: all are forgotten when there
/// are more.
const NAMED_MAX: usize = 4096;

/// Access control of one shard.
pub(crate) struct AccessControl {
    /// The header that names the principal, if there is one.
    header: Option<PrincipalHeader>,
    named: Identities,
    /// Peers of connections under the present policy, by their keys: only those that are nothing
    /// but a name, as two tokens of one principal may have different scopes.
    peers: Identities,
    /// The proxies that name the address of a client in a header.
    forwarding: Networks,
    /// None without a configuration of access control.
    tokens: Option<Tokens>,
    records: CredentialRecords,
}

/// Identities by name, at most [`NAMED_MAX`].
type Identities = HashMap<Box<str>, Arc<Identity>, foldhash::fast::RandomState>;

impl AccessControl {
    /// Access control of a shard that takes its snapshots from `board`, if it is configured, and is
    /// woken by `wake` when a result has come.
    pub(crate) fn of_shard(
        header: Option<PrincipalHeader>,
        forwarding: Networks,
        board: Option<Arc<AccessBoard>>,
        (profile, wake): (&ShardProfile, WakeShard),
    ) -> AccessControl {
        let limits = TokenLimits::of(&profile.auth, &profile.limits);
        let tokens = board.map(|board| Tokens::new(board, limits, wake));
        AccessControl::new(header, forwarding, tokens)
    }

    /// The same with records of credentials at the end of this port, if access control is
    /// configured.
    #[must_use]
    pub(crate) fn recording(mut self, port: AuditPort) -> AccessControl {
        if self.is_configured() {
            self.records = CredentialRecords::new(port);
        }
        self
    }

    /// Access control with this header, these proxies and, if it is configured, tokens.
    pub(crate) fn new(
        header: Option<PrincipalHeader>,
        forwarding: Networks,
        tokens: Option<Tokens>,
    ) -> AccessControl {
        AccessControl {
            header,
            named: Identities::default(),
            peers: Identities::default(),
            forwarding,
            tokens,
            records: CredentialRecords::new(AuditPort::OFF),
        }
    }

    /// Changes the header that names the principal.
    pub(crate) fn set_header(&mut self, header: Option<PrincipalHeader>) {
        self.header = header;
    }

    /// Begins a turn at this time, in milliseconds since the shard started and in seconds since
    /// 1970. Returns whether there is another snapshot.
    pub(crate) fn begin_turn(&mut self, now_ms: u64, now_s: impl FnOnce() -> u64) -> bool {
        let Some(tokens) = &mut self.tokens else {
            return false;
        };
        let policy = tokens.policy().id();
        let now_s = now_s();
        self.records.begin_turn(now_s);
        let is_new = tokens.begin_turn(now_ms, now_s);
        if tokens.policy().id() != policy {
            self.named.clear();
            self.peers.clear();
            self.records.forget_seen();
        }
        is_new
    }

    /// Whether access control is configured.
    pub(crate) fn is_configured(&self) -> bool {
        self.tokens.is_some()
    }

    /// Whether the peers of all connections must be known, because addresses decide something or
    /// are recorded.
    pub(crate) fn needs_addresses(&self) -> bool {
        // A header is believed only from the addresses of proxies.
        let decide = |tokens: &Tokens| self.header.is_some() || tokens.needs_addresses();
        self.tokens.as_ref().is_some_and(decide) || self.records.is_on()
    }

    /// The identity behind a request on a connection with this peer, if that is known. A request
    /// that was kept until then `has_waited` for a snapshot long enough.
    pub(crate) fn identify(
        &mut self,
        head: &RequestHead<'_>,
        client: Client<'_>,
        has_waited: bool,
    ) -> Identified {
        let known = client.known;
        if known.is_none() && self.needs_addresses() {
            return Identified::Later(Recheck::PeerKnown);
        }
        let tokens = self.tokens.as_mut();
        let by_token = tokens.and_then(|tokens| tokens.identify(head, client, has_waited));
        let (identified, note) = match by_token {
            Some(by_token) => by_token,
            None => (self.identify_with_other_scheme(head, known), None),
        };
        if self.records.is_on() {
            self.record(&identified, note, head, known);
        }
        identified
    }

    /// Records a credential that is seen for the first time, or is refused.
    fn record(
        &mut self,
        identified: &Identified,
        note: Option<Note>,
        head: &RequestHead<'_>,
        known: Option<&KnownPeer>,
    ) {
        match identified {
            Identified::Known(Some(identity)) => {
                let peer = known.and_then(|known| self.client_address(head, known));
                self.records.accept(identity, note, peer);
            }
            Identified::Refused(refusal) => {
                let rule = match note {
                    Some(Note::Broke(rule)) => Some(rule),
                    _ => None,
                };
                let peer = known.and_then(|known| self.client_address(head, known));
                self.records.refuse(refusal.word(), rule, peer);
            }
            Identified::Malformed(_) => {
                let peer = known.and_then(|known| self.client_address(head, known));
                self.records.refuse("malformed_principal", None, peer);
            }
            Identified::Known(None) | Identified::Later(_) => {}
        }
    }

    /// The identity without a token. A credential of another scheme is none, and its client is not
    /// served as an anonymous one: it means to be somebody.
    fn identify_with_other_scheme(
        &mut self,
        head: &RequestHead<'_>,
        known: Option<&KnownPeer>,
    ) -> Identified {
        let identified = self.identify_without_token(head, known);
        let has_credential = !matches!(head.authorization, Field::Absent);
        match identified {
            Identified::Known(None) if has_credential && self.is_configured() => {
                Identified::Refused(Refusal::NoCredential)
            }
            identified => identified,
        }
    }

    /// The identity that a proxy or the connection itself gives.
    fn identify_without_token(
        &mut self,
        head: &RequestHead<'_>,
        known: Option<&KnownPeer>,
    ) -> Identified {
        let named = match self.named_in_header(head) {
            Err(refusal) => return Identified::Malformed(refusal),
            Ok(named) => named,
        };
        let tokens = self.tokens.as_ref();
        if named.is_some() && !tokens.is_none_or(|tokens| tokens.may_name_principal(known)) {
            return Identified::Refused(Refusal::UntrustedProxy);
        }
        if named.is_some() {
            return Identified::Known(named);
        }
        match self.present_identity_of(known) {
            Ok(identity) => Identified::Known(identity),
            Err(refusal) => Identified::Refused(refusal),
        }
    }

    /// The identity of a channel's peer under the present snapshot, or the refusal of its messages.
    pub(crate) fn identity_of(
        &mut self,
        known: Option<&KnownPeer>,
    ) -> Result<Option<Arc<Identity>>, Refusal> {
        let result = self.present_identity_of(known);
        if self.records.is_on() {
            let peer = known.and_then(|known| known.address);
            match &result {
                Ok(Some(identity)) => self.records.accept(identity, None, peer),
                Ok(None) => {}
                Err(refusal) => self.records.refuse(refusal.word(), None, peer),
            }
        }
        result
    }

    fn present_identity_of(
        &mut self,
        known: Option<&KnownPeer>,
    ) -> Result<Option<Arc<Identity>>, Refusal> {
        let identity = known.and_then(|peer| peer.identity.as_ref());
        let Some(tokens) = &self.tokens else {
            return Ok(identity.cloned());
        };
        let Some(identity) = identity else {
            let is_needed = tokens.requires_credential();
            return if is_needed {
                Err(Refusal::NoCredential)
            } else {
                Ok(None)
            };
        };
        if tokens.is_current(identity) {
            return Ok(Some(Arc::clone(identity)));
        }
        let is_a_name = matches!(
            identity.method,
            Method::Certificate | Method::UnixPeer | Method::Process
        );
        let key = identity.principal_key();
        if let Some(refreshed) = self.peers.get(key).filter(|_| is_a_name) {
            return Ok(Some(Arc::clone(refreshed)));
        }
        let refreshed = tokens.refreshed(Arc::clone(identity));
        if is_a_name {
            keep(&mut self.peers, key, &refreshed);
        }
        Ok(Some(refreshed))
    }

    /// Whether a request has neither a credential nor a principal, as far as its head shows.
    pub(crate) fn is_anonymous(&self, head: &RequestHead<'_>) -> bool {
        let has_credential = self.is_configured()
            && head
                .headers()
                .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let header = self.header.as_ref();
        !has_credential && header.is_none_or(|header| header.read(head.headers()) == Ok(None))
    }

    /// The address of the client of a request from this peer, if access control depends on it.
    pub(crate) fn client_address(
        &self,
        head: &RequestHead<'_>,
        known: &KnownPeer,
    ) -> Option<ClientAddress> {
        let peer = known.address.filter(|_| self.needs_addresses())?;
        Some(forwarded::client_of(peer, head.headers(), &self.forwarding))
    }

    /// The refusal of a request to the endpoint that its head names for the scopes of its identity.
    pub(crate) fn refusal_at(
        &self,
        head: &RequestHead<'_>,
        known: Option<&KnownPeer>,
        identity: Option<&Identity>,
    ) -> Option<Refusal> {
        let refusal = self.tokens.as_ref()?.refusal_at(head.path, identity)?;
        let peer = known.and_then(|known| self.client_address(head, known));
        self.records.deny(identity, &refusal, peer);
        Some(refusal)
    }

    /// The answer to a refused request to the endpoint with this path.
    pub(crate) fn answer(&self, refusal: &Refusal, path: &str) -> Answer {
        match &self.tokens {
            Some(tokens) => tokens.answer(refusal, path),
            None => refusal.answer(&Challenge::default(), None),
        }
    }

    /// The challenge of an answer, if it is a refusal that has one.
    #[inline]
    pub(crate) fn challenge_of(&self, refused: Option<Category>) -> Option<String> {
        match refused {
            Some(Category::ScopeMissing { rule, policy }) => {
                self.tokens.as_ref()?.scope_challenge(rule, policy)
            }
            _ => None,
        }
    }

    /// The number of the metadata document at a path.
    #[inline]
    pub(crate) fn metadata_at(&self, path: &str) -> Option<usize> {
        self.tokens.as_ref()?.metadata_at(path)
    }

    /// The metadata document with a number that [`AccessControl::metadata_at`] gave in this step.
    pub(crate) fn metadata(&self, document: usize) -> Vec<u8> {
        let tokens = self.tokens.as_ref();
        tokens.map_or_else(Vec::new, |tokens| tokens.metadata(document))
    }

    /// The policy and the number of its configuration, if access control is configured.
    pub(crate) fn policy(&self) -> Option<(&Arc<Policy>, u64)> {
        let tokens = self.tokens.as_ref()?;
        Some((tokens.policy(), tokens.configuration()))
    }

    /// How much each client may do, if access control is configured.
    pub(crate) fn limits(&self) -> Option<&Arc<Limits>> {
        self.tokens.as_ref().map(Tokens::client_limits)
    }

    /// Counts a credential that failed on another shard.
    pub(crate) fn record_failure(&mut self, attempt: Attempt) {
        if let Some(tokens) = &mut self.tokens {
            tokens.record_failure(attempt);
        }
    }

    /// The next credential that failed here, which the other shards are to count as well.
    pub(crate) fn poll_failure(&mut self) -> Option<Attempt> {
        self.tokens.as_mut()?.poll_failure()
    }

    /// How many requests may wait for the keys of their tokens.
    pub(crate) fn key_waits_max(&self) -> usize {
        let tokens = self.tokens.as_ref();
        tokens.map_or(0, |tokens| tokens.limits().key_waits_max)
    }

    /// How long a request waits for the key of its token, in milliseconds.
    pub(crate) fn key_wait_ms(&self) -> u64 {
        let tokens = self.tokens.as_ref();
        tokens.map_or(0, |tokens| tokens.limits().key_wait_ms)
    }

    /// Whether a stream that was opened with a credential that expires then must have ended.
    pub(crate) fn is_past(&self, expires_s: u64) -> bool {
        let tokens = self.tokens.as_ref();
        tokens.is_some_and(|tokens| tokens.is_past(expires_s))
    }

    /// Why a channel of this peer must be closed: the credential that opened it has expired or is
    /// no longer valid. None if it may go on.
    pub(crate) fn end_of_channel(&self, peer: &KnownPeer) -> Option<&'static str> {
        let identity = peer.identity.as_ref()?;
        if identity
            .expires_s
            .is_some_and(|expires_s| self.is_past(expires_s))
        {
            return Some("the access token has expired");
        }
        let tokens = self.tokens.as_ref()?;
        tokens.end_of(identity, peer.endpoint.as_deref())
    }

    /// Whether another token may be verified in this turn.
    pub(crate) fn has_checks_left(&self) -> bool {
        self.tokens.as_ref().is_some_and(Tokens::has_checks_left)
    }

    /// The identity of the principal that the header names.
    fn named_in_header(
        &mut self,
        head: &RequestHead<'_>,
    ) -> Result<Option<Arc<Identity>>, PrincipalRefusal> {
        let Some(header) = &self.header else {
            return Ok(None);
        };
        let Some(name) = header.read(head.headers())? else {
            return Ok(None);
        };
        if let Some(identity) = self.named.get(name) {
            return Ok(Some(Arc::clone(identity)));
        }
        let identity = Identity::new(Method::ProxyHeader, "", name);
        let identity = match &self.tokens {
            Some(tokens) => tokens.refreshed(Arc::new(identity)),
            None => Arc::new(identity),
        };
        keep(&mut self.named, name, &identity);
        Ok(Some(identity))
    }
}

fn keep(identities: &mut Identities, name: &str, identity: &Arc<Identity>) {
    if identities.len() >= NAMED_MAX {
        identities.clear();
    }
    identities.insert(name.into(), Arc::clone(identity));
}
