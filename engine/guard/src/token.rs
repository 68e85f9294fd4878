//! Access tokens: verification against the keys of configured issuers, and the cache of verified
//! tokens.
//!
//! | module | part |
//! |---|---|
//! | `json` | reads bounded JSON without repeated members |
//! | `jws` | compact form, header, signature |
//! | `keys` | the keys of an issuer from its JWK set |
//! | `claims` | the rules for each claim |
//! | `verify` | issuers, and a token through all rules |
//! | `introspection` | the answer of an issuer about an opaque token through all rules |
//! | `cache` | verified and refused tokens by keyed hash |
//! | `fault` | the rule that a token breaks |
//!
//! [`Authenticator::check`] is the function for the path of a request. Time, certificate and
//! snapshots of keys are arguments.

pub mod cache;
pub mod claims;
pub mod fault;
mod introspection;
mod json;
pub mod jws;
pub mod keys;
pub(crate) mod standing;
pub mod verify;

use std::sync::Arc;

use cache::{Cached, TokenCache, TokenDigest};
use fault::TokenFault;
use verify::{Circumstances, Verified, Verifier};

use crate::api_key;
use crate::credential::Bearer;
use crate::identity::Identity;

/// How long the answer of an issuer that refuses a token for now is kept, in seconds: the clock of
/// requests may be a second further when they are checked again.
const INTROSPECTED_REFUSAL_S: u64 = 2;

/// The verifier and the cache of one shard.
#[derive(Debug)]
pub struct Authenticator {
    verifier: Verifier,
    cache: TokenCache,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is valid.
    Valid(Arc<Identity>),
    /// It is refused.
    Refused(TokenFault),
    /// It must be verified, and the budget of this turn is used up: keep the request for the next.
    Later,
}

/// A token that is not known to be valid.
#[derive(Debug)]
pub enum Unproved {
    /// It is known to be refused.
    Refused(TokenFault),
    /// Nothing is known about the token with this hash.
    Unknown(TokenDigest),
}

impl Authenticator {
    /// A verifier with an empty cache.
    pub fn new(verifier: Verifier, cache: TokenCache) -> Authenticator {
        Authenticator { verifier, cache }
    }

    /// Checks a token, from the cache if it is known. A token that is not takes one of the
    /// signature checks that are left in this turn.
    pub fn check(
        &mut self,
        token: Bearer<'_>,
        circumstances: &Circumstances<'_>,
        checks_left: &mut u32,
    ) -> Checked {
        match self.find(token, circumstances) {
            Ok(identity) => Checked::Valid(identity),
            Err(unproved) => self.verify(token, unproved, circumstances, checks_left),
        }
    }

    /// The first part of a check, which takes no signature: the identity behind a token that was
    /// verified before, or behind an API key.
    ///
    /// # Errors
    /// The token is for [`Authenticator::verify`].
    pub fn find(
        &mut self,
        token: Bearer<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Result<Arc<Identity>, Unproved> {
        let token = token.as_bytes();
        if token.starts_with(api_key::PREFIX) {
            // It has no signature, and is never cached.
            let verified = self.verifier.verify(token, circumstances);
            return verified
                .map(|verified| verified.identity)
                .map_err(Unproved::Refused);
        }
        let digest = self.cache.digest(token);
        match self.cache.find(&digest, circumstances) {
            Some(Cached::Valid(identity)) => Ok(Arc::clone(identity)),
            Some(Cached::Refused(fault)) => Err(Unproved::Refused(fault)),
            None => Err(Unproved::Unknown(digest)),
        }
    }

    /// The second part of a check of the same token.
    pub fn verify(
        &mut self,
        token: Bearer<'_>,
        unproved: Unproved,
        circumstances: &Circumstances<'_>,
        checks_left: &mut u32,
    ) -> Checked {
        let digest = match unproved {
            Unproved::Refused(fault) => return Checked::Refused(fault),
            Unproved::Unknown(digest) => digest,
        };
        if *checks_left == 0 {
            return Checked::Later;
        }
        *checks_left -= 1;
        let result = self.verifier.verify(token.as_bytes(), circumstances);
        self.keep(digest, result, circumstances.now_s)
    }

    /// Keeps the result of an introspection for the next check of the token. An answer that refuses
    /// the token for now is kept for a moment, so that the request which waits for it finds it.
    /// That of an issuer that is away is not kept.
    pub fn keep_introspected(
        &mut self,
        token: &[u8],
        result: Result<Verified, TokenFault>,
        now_s: u64,
    ) {
        let digest = self.cache.digest(token);
        match result {
            Err(fault @ (TokenFault::NotYetValid | TokenFault::Binding)) => {
                let until_s = now_s.saturating_add(INTROSPECTED_REFUSAL_S);
                self.cache.insert_refused_until(digest, fault, until_s);
            }
            result => {
                self.keep(digest, result, now_s);
            }
        }
    }

    fn keep(
        &mut self,
        digest: TokenDigest,
        result: Result<Verified, TokenFault>,
        now_s: u64,
    ) -> Checked {
        match result {
            Ok(verified) => {
                let identity = Arc::clone(&verified.identity);
                self.cache.insert(digest, verified, now_s);
                Checked::Valid(identity)
            }
            Err(fault) => {
                self.cache.insert_refused(digest, fault, now_s);
                Checked::Refused(fault)
            }
        }
    }

    /// The verifier.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Takes a new verifier: other keys, deny list, policy or issuers. With `keep` the cached
    /// tokens stay whose keys are still there and that are not revoked: right if only the keys or
    /// the deny list are others. Refused tokens are forgotten in any case.
    pub fn update(&mut self, verifier: Verifier, keep: bool) {
        self.verifier = verifier;
        let verifier = &self.verifier;
        self.cache
            .retain(|verified| keep && verifier.still_accepts(verified));
    }
}
