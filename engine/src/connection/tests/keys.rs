//! Tokens that were signed with a key that the server does not have.

use std::sync::Arc;

use serde_json::json;

use super::access::{FixedIssuers, guarded_with, send};
use super::test_connection::{TestConnection, call};
use crate::guard::access::{Issuers, RequestState};
use crate::guard::token::keys::IssuerKeys;
use crate::guard::token::verify::{Issuer, Verifier};

/// The key of RFC 8037 A.2.
const KEYS: &[u8] = br#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "use": "sig",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// Heads of tokens: of the key `k1`, and of a key that is not in the set.
const OF_K1: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsxIn0";
const OF_NEW: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6Im5ldyJ9";
/// Claims of `https://i.example`.
const CLAIMS: &str = "eyJpc3MiOiJodHRwczovL2kuZXhhbXBsZSIsImF1ZCI6Imh0dHBzOi8vaC5leGFtcGxl\
    L21jcCIsInN1YiI6ImFubiIsImNsaWVudF9pZCI6ImFwcCIsImlhdCI6MCwiZXhwIjo1MDB9";

fn line(issuers: &Arc<FixedIssuers>) -> TestConnection {
    let issuers = Arc::clone(issuers) as Arc<dyn Issuers>;
    let (line, _) = guarded_with(issuers, |access| {
        let keys = IssuerKeys::from_jwks(KEYS).expect("a key set");
        let issuer = Issuer::new("corp", "https://i.example");
        let verifier = Verifier::new(Arc::clone(&access.policy));
        access.verifier = verifier.with_issuer(Arc::new(issuer), Some(Arc::new(keys)));
    });
    line
}

fn request(head: &str, signature: usize) -> String {
    let signature = format!("{signature:085}A");
    let field = format!("Authorization: Bearer {head}.{CLAIMS}.{signature}\r\n");
    call(&field, "echo", json!({"message": "x"}))
}

#[test]
fn a_token_whose_key_may_exist_is_answered_with_503_and_is_no_guess() {
    for (state, status) in [(RequestState::Busy, 503), (RequestState::Refused, 401)] {
        let issuers = Arc::new(FixedIssuers::new(state));
        let mut line = line(&issuers);
        // More than the failures that block a source.
        for signature in 0..50 {
            line.access.begin_turn(0, || 1);
            let answer = send(&mut line, &request(OF_NEW, signature));
            assert_eq!(answer.status, status, "{state:?}");
            let retry_after = answer.field("retry-after");
            assert_eq!(retry_after.is_some(), status == 503, "{answer:?}");
        }
        assert_eq!(line.access.poll_failure(), None);
        let requests = issuers.requests.lock().expect("no panic");
        assert_eq!(requests[0], r#"corp Some("new")"#);
    }
}

#[test]
fn a_token_waits_for_its_key() {
    let issuers = Arc::new(FixedIssuers::new(RequestState::Pending));
    let mut line = line(&issuers);
    line.receive(request(OF_NEW, 0).as_bytes());
    assert!(line.take_sent().is_empty());
    assert_eq!(line.effects.rechecks.len(), 1);
}

#[test]
fn a_wrong_signature_has_the_keys_fetched_again_for_a_new_key_with_the_same_id() {
    let issuers = Arc::new(FixedIssuers::new(RequestState::Pending));
    let mut line = line(&issuers);
    assert_eq!(send(&mut line, &request(OF_K1, 0)).status, 401);
    let requests = issuers.requests.lock().expect("no panic");
    assert_eq!(*requests, ["corp None"]);
    assert!(line.access.poll_failure().is_some());
}
