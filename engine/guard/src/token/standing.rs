//! Whether a credential that was accepted before would be accepted now: by the cache, and for
//! connections that outlive the request with the credential.
//!
//! It deliberately lacks the bytes of credentials: fingerprints and hashes are enough.

use std::sync::Arc;

use super::verify::{Issuer, Proof, TokenKind, Verified, Verifier};
use crate::identity::Identity;
use crate::token::keys::IssuerKeys;

/// The proof of an identity, by which a later configuration judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    proof: Proof,
    revocations: [Option<[u8; 32]>; 2],
}

impl Verified {
    /// The same with its proof in the identity.
    pub(super) fn remembered(mut self) -> Verified {
        let credential = Credential {
            proof: self.proof,
            revocations: self.revocations,
        };
        Arc::make_mut(&mut self.identity).credential = Some(Arc::new(credential));
        self
    }
}

impl Verifier {
    pub(super) fn has_revoked(&self, verified: &Verified) -> bool {
        self.has_any_revoked(&verified.revocations)
    }

    /// Whether a token that an earlier verifier with the same issuers accepted is accepted by this
    /// one, as far as keys and the deny list matter. API keys are not kept.
    pub(super) fn still_accepts(&self, verified: &Verified) -> bool {
        let is_key = matches!(verified.proof, Proof::ApiKey(_));
        !is_key && self.proves(&verified.identity, &verified.proof) && !self.has_revoked(verified)
    }

    /// Whether the credential behind an identity is still one of this configuration: its issuer and
    /// the key of its signature are there, or its API key is and has not expired, and it is not
    /// revoked. One without a credential is proved by its connection.
    pub fn still_proves(&self, identity: &Identity, now_s: u64) -> bool {
        let Some(credential) = &identity.credential else {
            return true;
        };
        let proves = match &credential.proof {
            Proof::ApiKey(sha256) => self.api_keys.have(&identity.subject, sha256, now_s),
            proof => self.proves(identity, proof),
        };
        proves && !self.has_any_revoked(&credential.revocations)
    }

    fn proves(&self, identity: &Identity, proof: &Proof) -> bool {
        let has = |(issuer, keys): &(Arc<Issuer>, Option<Arc<IssuerKeys>>)| {
            let proves = match proof {
                Proof::Signature(key) => keys.as_ref().is_some_and(|keys| keys.has(key)),
                Proof::Introspection => issuer.kind != TokenKind::Signed,
                Proof::ApiKey(_) => false,
            };
            proves && *issuer.alias == *identity.issuer
        };
        self.issuers.iter().any(has)
    }

    fn has_any_revoked(&self, revocations: &[Option<[u8; 32]>]) -> bool {
        let mut entries = revocations.iter().flatten();
        entries.any(|entry| self.denied.has(entry))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::api_key::{self, ApiKey, ApiKeys};
    use crate::identity::{Identity, Method};
    use crate::token::verify::{Circumstances, Verifier};

    #[test]
    fn an_identity_ends_with_its_api_key() {
        let (text, sha256) = api_key::create("ci", &[7; 32]).expect("an id");
        let verifier = |sha256, expires_s| {
            let key = ApiKey {
                id: "ci".into(),
                sha256,
                expires_s,
                ..ApiKey::default()
            };
            let keys = ApiKeys::new([key]).expect("valid");
            Verifier::new(Arc::default()).with_api_keys(Arc::new(keys))
        };
        let now = Circumstances {
            now_s: 5,
            certificate: None,
            address: None,
        };
        let first = verifier(sha256, None);
        let verified = first.verify(text.as_bytes(), &now).expect("valid");
        let identity = verified.identity;
        assert!(first.still_proves(&identity, 5));
        assert!(verifier(sha256, Some(6)).still_proves(&identity, 5));
        assert!(!verifier(sha256, Some(5)).still_proves(&identity, 5));
        assert!(
            !verifier([1; 32], None).still_proves(&identity, 5),
            "another key"
        );
        assert!(!Verifier::new(Arc::default()).still_proves(&identity, 5));
        // A peer on a Unix socket has no credential that could be withdrawn.
        let peer = Identity::new(Method::UnixPeer, "", "unix:uid=1");
        assert!(Verifier::new(Arc::default()).still_proves(&peer, 5));
    }
}
