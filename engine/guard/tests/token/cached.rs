//! The cache of tokens in front of the verifier.

use std::sync::Arc;

use corelane_guard::api_key::{self, ApiKey, ApiKeys};
use corelane_guard::bits::Bits256;
use corelane_guard::credential::{self, Bearer, TOKEN_BYTES_MAX};
use corelane_guard::identity::Method;
use corelane_guard::token::cache::{CacheLimits, TokenCache};
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::keys::IssuerKeys;
use corelane_guard::token::verify::{Circumstances, DenyList, Verifier};
use corelane_guard::token::{Authenticator, Checked};

use crate::mint::{Claims, Mint, NOW_S, at, encode, issuer, now, verifier};

const LIMITS: CacheLimits = CacheLimits {
    entries_max: 4,
    refused_max: 4,
    ttl_s: 300,
    refused_ttl_s: 10,
};

fn authenticator(verifier: Verifier) -> Authenticator {
    Authenticator::new(verifier, TokenCache::new(LIMITS, &[1; 32]))
}

/// The outcome, and how many signatures were checked for it.
fn check(
    authenticator: &mut Authenticator,
    token: &str,
    circumstances: &Circumstances<'_>,
) -> (Checked, u32) {
    let mut checks_left = 1;
    let field = format!("Bearer {token}");
    let checked = authenticator.check(bearer(&field), circumstances, &mut checks_left);
    (checked, 1 - checks_left)
}

fn bearer(field: &str) -> Bearer<'_> {
    credential::read(&[field.as_bytes()], b"", TOKEN_BYTES_MAX)
        .expect("a field")
        .expect("a token")
}

fn is_valid(checked: &(Checked, u32), checks: u32) -> bool {
    matches!(checked.0, Checked::Valid(_)) && checked.1 == checks
}

#[test]
fn a_repeated_token_is_verified_once_and_until_its_end() {
    let mint = Mint::new();
    let mut authenticator = authenticator(mint.verifier(issuer()));
    let token = mint.token(&Claims::valid().with("exp", "1000100"));
    for (now_s, checks) in [(NOW_S, 1), (NOW_S, 0), (NOW_S + 159, 0)] {
        assert!(
            is_valid(&check(&mut authenticator, &token, &at(now_s)), checks),
            "{now_s}"
        );
    }
    let expired = (Checked::Refused(TokenFault::Expired), 1);
    assert_eq!(check(&mut authenticator, &token, &at(NOW_S + 160)), expired);
    // A long-lived token is verified again after the time of the cache.
    let long = mint.token(&Claims::valid().with("exp", "2000000"));
    for (now_s, checks) in [
        (NOW_S, 1),
        (NOW_S + 299, 0),
        (NOW_S + 300, 1),
        (NOW_S + 599, 0),
    ] {
        assert!(
            is_valid(&check(&mut authenticator, &long, &at(now_s)), checks),
            "{now_s}"
        );
    }
}

#[test]
fn a_refused_token_is_remembered_for_seconds_unless_that_could_change() {
    let mint = Mint::new();
    let mut authenticator = authenticator(mint.verifier(issuer()));
    let refused = |fault, checks| (Checked::Refused(fault), checks);
    let forged = Mint::new().token(&Claims::valid());
    for (now_s, checks) in [(NOW_S, 1), (NOW_S + 9, 0), (NOW_S + 10, 1)] {
        let found = check(&mut authenticator, &forged, &at(now_s));
        assert_eq!(found, refused(TokenFault::Signature, checks), "{now_s}");
    }
    let future = mint.token(&Claims::valid().with("nbf", "1000061"));
    let found = check(&mut authenticator, &future, &now());
    assert_eq!(found, refused(TokenFault::NotYetValid, 1));
    assert!(is_valid(
        &check(&mut authenticator, &future, &at(NOW_S + 1)),
        1
    ));
}

#[test]
fn no_checks_left_means_later_and_changes_nothing() {
    let mint = Mint::new();
    let mut authenticator = authenticator(mint.verifier(issuer()));
    let field = format!("Bearer {}", mint.token(&Claims::valid()));
    let mut none = 0;
    assert_eq!(
        authenticator.check(bearer(&field), &now(), &mut none),
        Checked::Later
    );
    let mut two = 2;
    assert_ne!(
        authenticator.check(bearer(&field), &now(), &mut two),
        Checked::Later
    );
    assert_eq!(two, 1);
    assert_ne!(
        authenticator.check(bearer(&field), &now(), &mut none),
        Checked::Later
    );
}

#[test]
fn a_cached_bound_token_is_of_no_use_on_another_connection() {
    let mint = Mint::new();
    let mut authenticator = authenticator(mint.verifier(issuer()));
    let cnf = format!(r#"{{"x5t#S256":"{}"}}"#, encode([7; 32]));
    let token = mint.token(&Claims::valid().with("cnf", &cnf));
    let with = |certificate| Circumstances {
        certificate,
        ..now()
    };
    let [refused, cached] = [1, 0].map(|checks| (Checked::Refused(TokenFault::Binding), checks));
    // A thief comes first, between, and without a certificate: the holder is served.
    assert_eq!(
        check(&mut authenticator, &token, &with(Some(&[8; 32]))),
        refused
    );
    assert!(is_valid(
        &check(&mut authenticator, &token, &with(Some(&[7; 32]))),
        1
    ));
    assert_eq!(
        check(&mut authenticator, &token, &with(Some(&[8; 32]))),
        cached
    );
    assert_eq!(check(&mut authenticator, &token, &with(None)), cached);
    assert!(is_valid(
        &check(&mut authenticator, &token, &with(Some(&[7; 32]))),
        0
    ));
}

#[test]
fn k7_tokens_of_a_removed_key_and_revoked_ones_leave_the_cache() {
    let mint = Mint::new();
    let mut authenticator = authenticator(mint.verifier(issuer()));
    let token = mint.token(&Claims::valid());
    assert!(is_valid(&check(&mut authenticator, &token, &now()), 1));
    // A new set that still has the key, under the same id.
    authenticator.update(mint.verifier(issuer()), true);
    assert!(is_valid(&check(&mut authenticator, &token, &now()), 0));
    // A set with another key under the same id.
    authenticator.update(Mint::new().verifier(issuer()), true);
    let found = check(&mut authenticator, &token, &now());
    assert_eq!(found, (Checked::Refused(TokenFault::Signature), 1));
    // Refused tokens are forgotten with an update.
    authenticator.update(mint.verifier(issuer()), true);
    assert!(is_valid(&check(&mut authenticator, &token, &now()), 1));
    let mut denied = DenyList::default();
    assert!(denied.revoke_subject("corp", "alice"));
    authenticator.update(
        mint.verifier(issuer()).with_deny_list(Arc::new(denied)),
        true,
    );
    let found = check(&mut authenticator, &token, &now());
    assert_eq!(found, (Checked::Refused(TokenFault::Revoked), 1));
    // A new policy: nothing stays.
    authenticator.update(mint.verifier(issuer()), true);
    assert!(is_valid(&check(&mut authenticator, &token, &now()), 1));
    authenticator.update(mint.verifier(issuer()), false);
    assert!(is_valid(&check(&mut authenticator, &token, &now()), 1));
}

#[test]
fn an_unknown_key_says_whose_keys_to_fetch() {
    let mint = Mint::new();
    let empty = IssuerKeys::from_jwks(br#"{"keys":[]}"#).expect("a set");
    let before = verifier().with_issuer(Arc::new(issuer()), Some(Arc::new(empty)));
    let mut authenticator = authenticator(before);
    let token = mint.token(&Claims::valid());
    let found = check(&mut authenticator, &token, &now());
    assert_eq!(found, (Checked::Refused(TokenFault::UnknownKey), 1));
    let (issuer_of, kid) = authenticator
        .verifier()
        .unknown_key_of(token.as_bytes())
        .expect("configured");
    assert_eq!((&*issuer_of.alias, kid.as_deref()), ("corp", Some("ec")));
    let foreign = mint.token(&Claims::valid().with("iss", "\"https://evil.example\""));
    assert!(
        authenticator
            .verifier()
            .unknown_key_of(foreign.as_bytes())
            .is_none()
    );
    assert!(authenticator.verifier().unknown_key_of(b"a.b.c").is_none());
    authenticator.update(mint.verifier(issuer()), true);
    assert!(is_valid(&check(&mut authenticator, &token, &now()), 1));
}

#[test]
fn an_api_key_is_an_identity_that_is_checked_each_time() {
    let (text, sha256) = api_key::create("ci", &[3; 32]).expect("an id");
    let key = ApiKey {
        id: "ci".into(),
        sha256,
        roles: vec!["ops".into()],
        scopes: vec!["mcp:write".into()],
        expires_s: Some(NOW_S + 5),
        ..ApiKey::default()
    };
    let keys = Arc::new(ApiKeys::new([key]).expect("keys"));
    let mut authenticator = authenticator(verifier().with_api_keys(keys));
    for _ in 0..2 {
        let (Checked::Valid(identity), 0) = check(&mut authenticator, &text, &now()) else {
            panic!("a valid key");
        };
        assert_eq!(identity.principal_key(), "api_key::ci");
        assert_eq!(identity.scopes, Bits256::from_iter([1]));
        assert_eq!(identity.roles, Bits256::from_iter([1]));
        assert_eq!(identity.method, Method::ApiKey);
    }
    let refused = (Checked::Refused(TokenFault::ApiKey), 0);
    assert_eq!(check(&mut authenticator, &text, &at(NOW_S + 5)), refused);
    let (other, _) = api_key::create("ci", &[4; 32]).expect("an id");
    assert_eq!(check(&mut authenticator, &other, &now()), refused);
}

#[test]
fn a_hit_allocates_nothing() {
    let mint = Mint::new();
    let mut authenticator = authenticator(mint.verifier(issuer()));
    let padding = format!("\"{}\"", "p".repeat(500));
    let token = mint.token(&Claims::valid().with("padding", &padding));
    assert!(token.len() > 1000, "{}", token.len());
    assert!(is_valid(&check(&mut authenticator, &token, &now()), 1));
    let field = format!("Bearer {token}");
    let mut hits = 0;
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            let checked = authenticator.check(bearer(&field), &now(), &mut 0);
            hits += u32::from(matches!(checked, Checked::Valid(_)));
        }
    });
    assert_eq!((hits, counted.count_total), (100, 0));
}
