//! Opaque tokens: which ones are introspected, and the answers of their issuer through the rules.

use std::sync::Arc;

use corelane_guard::bits::Bits256;
use corelane_guard::credential::{self, Bearer, TOKEN_BYTES_MAX};
use corelane_guard::identity::Method;
use corelane_guard::token::cache::{CacheLimits, TokenCache};
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::verify::{Circumstances, DenyList, Issuer, TokenKind, Verifier};
use corelane_guard::token::{Authenticator, Checked};

use crate::mint::{self, Claims, Mint, NOW_S, at, encode, now};

const OPAQUE: &str = "https://opaque.example";

fn opaque(audience_required: bool) -> Issuer {
    Issuer {
        kind: TokenKind::Opaque { audience_required },
        ..Issuer::new("partner", OPAQUE)
    }
}

fn verifier(audience_required: bool) -> Verifier {
    let issuer = Arc::new(opaque(audience_required));
    let mint = Mint::new();
    mint.verifier(mint::issuer()).with_issuer(issuer, None)
}

/// An answer with these claims of the other issuer.
fn active() -> Claims {
    let iss = format!("\"{OPAQUE}\"");
    Claims::valid().with("iss", &iss).with("active", "true")
}

fn outcome(verifier: &Verifier, answer: &Claims) -> Result<String, TokenFault> {
    let answer = answer.json();
    let verified = verifier.verify_introspection("partner", answer.as_bytes(), NOW_S)?;
    Ok(verified.identity.principal_key().to_owned())
}

#[test]
fn tokens_without_an_issuer_in_them_are_introspected() {
    let (with, without) = (verifier(true), Mint::new().verifier(mint::issuer()));
    for (token, expected) in [
        ("ya29.a0Af_-~+/==", TokenFault::NotIntrospected),
        ("0123456789abcdef", TokenFault::NotIntrospected),
        ("caf\u{e9}", TokenFault::Form),
        ("a,b", TokenFault::Form),
        ("", TokenFault::Form),
        ("clk_ci_x", TokenFault::ApiKey),
    ] {
        let found = with.verify(token.as_bytes(), &now()).map(|_| ());
        assert_eq!(found, Err(expected), "{token}");
        let found = without.verify(token.as_bytes(), &now()).map(|_| ());
        let expected = match expected {
            TokenFault::NotIntrospected => TokenFault::Form,
            other => other,
        };
        assert_eq!(found, Err(expected), "{token}");
    }
    assert_eq!(
        with.opaque_issuer().map(|issuer| &*issuer.alias),
        Some("partner")
    );
    assert_eq!(with.issuers_without_keys().count(), 0);
}

#[test]
fn signed_tokens_go_to_the_issuer_that_they_name() {
    let mint = Mint::new();
    let verifier = mint
        .verifier(mint::issuer())
        .with_issuer(Arc::new(opaque(true)), None);
    let verify = |claims: &Claims| verifier.verify(mint.token(claims).as_bytes(), &now());
    assert_eq!(verify(&Claims::valid()).map(|_| ()), Ok(()));
    assert_eq!(
        verify(&active()).map(|_| ()),
        Err(TokenFault::NotIntrospected)
    );
    // A token of a stranger is sent to nobody.
    let strange = Claims::valid().with("iss", "\"https://strange.example\"");
    assert_eq!(verify(&strange).map(|_| ()), Err(TokenFault::Issuer));
    // An unknown key of an issuer without keys is no reason to fetch.
    assert!(
        verifier
            .unknown_key_of(mint.token(&active()).as_bytes())
            .is_none()
    );
}

#[test]
fn an_answer_is_an_identity() {
    let answer = active().json();
    let verified = verifier(true).verify_introspection("partner", answer.as_bytes(), NOW_S);
    let verified = verified.expect("valid");
    let identity = &verified.identity;
    assert_eq!(identity.principal_key(), "introspected:partner:alice");
    assert_eq!(identity.method, Method::Introspected);
    assert_eq!(identity.client.as_deref(), Some("agent"));
    assert_eq!(identity.scopes, Bits256::from_iter([0]));
    assert_eq!(identity.expires_s, Some(1_000_600));
    assert_eq!(verified.until_s(), NOW_S + 60);
    let soon = active().with("exp", "1000010").with("nbf", "1").json();
    let verified = verifier(true).verify_introspection("partner", soon.as_bytes(), NOW_S + 30);
    assert_eq!(verified.expect("with leeway").until_s(), 1_000_070);
}

#[test]
fn answers_obey_the_rules_for_claims() {
    let ok = |key: &str| Ok(key.to_owned());
    let alice = ok("introspected:partner:alice");
    for (answer, expected) in [
        (active(), alice.clone()),
        (active().without("iss"), alice.clone()),
        (active().without("exp"), alice.clone()),
        (
            active().without("sub"),
            ok("introspected:partner:client:agent"),
        ),
        (
            active().without("sub").without("client_id"),
            Err(TokenFault::Subject),
        ),
        (
            active().with("sub", "\"client:agent\""),
            Err(TokenFault::Subject),
        ),
        (active().with("sub", "null"), Err(TokenFault::Subject)),
        (active().without("active"), Err(TokenFault::Inactive)),
        (active().with("active", "false"), Err(TokenFault::Inactive)),
        (
            active().with("active", "\"true\""),
            Err(TokenFault::Inactive),
        ),
        (active().with("active", "1"), Err(TokenFault::Inactive)),
        (
            active().with("iss", "\"https://issuer.example\""),
            Err(TokenFault::Issuer),
        ),
        (active().with("iss", "null"), Err(TokenFault::Issuer)),
        (active().without("aud"), Err(TokenFault::Audience)),
        (
            active().with("aud", "\"https://other.example\""),
            Err(TokenFault::Audience),
        ),
        (active().with("exp", "999939"), Err(TokenFault::Expired)),
        (
            active().with("exp", "\"1000600\""),
            Err(TokenFault::ExpiryForm),
        ),
        (
            active().with("nbf", "1000061"),
            Err(TokenFault::NotYetValid),
        ),
        (active().with("scope", "[1]"), Err(TokenFault::Scope)),
        (
            active().with("cnf", r#"{"jkt":"x"}"#),
            Err(TokenFault::Binding),
        ),
        (active().repeated("active", "true"), Err(TokenFault::Claims)),
    ] {
        assert_eq!(
            outcome(&verifier(true), &answer),
            expected,
            "{}",
            answer.json()
        );
    }
}

#[test]
fn an_audience_that_is_not_required_is_not_ignored() {
    let elsewhere = active().with("aud", "\"https://other.example\"");
    assert_eq!(
        outcome(&verifier(false), &active().without("aud")),
        Ok("introspected:partner:alice".to_owned())
    );
    assert_eq!(
        outcome(&verifier(false), &elsewhere),
        Err(TokenFault::Audience)
    );
    // No answer about an issuer of signed tokens.
    let answer = active().json();
    for alias in ["corp", "other"] {
        let found = verifier(true).verify_introspection(alias, answer.as_bytes(), NOW_S);
        assert_eq!(found.map(|_| ()), Err(TokenFault::Issuer), "{alias}");
    }
    let mut denied = DenyList::default();
    assert!(denied.revoke_subject("partner", "alice"));
    let verifier = verifier(true).with_deny_list(Arc::new(denied));
    assert_eq!(outcome(&verifier, &active()), Err(TokenFault::Revoked));
}

fn bearer(field: &str) -> Bearer<'_> {
    let token = credential::read(&[field.as_bytes()], b"", TOKEN_BYTES_MAX).expect("a field");
    token.expect("a token")
}

#[test]
fn results_are_cached_for_their_time() {
    let verifier = verifier(true);
    let cache = TokenCache::new(CacheLimits::default(), &[1; 32]);
    let mut authenticator = Authenticator::new(verifier.clone(), cache);
    let check = |authenticator: &mut Authenticator, at: &Circumstances<'_>| {
        authenticator.check(bearer("Bearer opaque1"), at, &mut 9)
    };
    let unknown = Checked::Refused(TokenFault::NotIntrospected);
    assert_eq!(check(&mut authenticator, &now()), unknown);
    let answer = active().json();
    let result = verifier.verify_introspection("partner", answer.as_bytes(), NOW_S);
    authenticator.keep_introspected(b"opaque1", result.clone(), NOW_S);
    let taken = check(&mut authenticator, &now());
    assert!(matches!(taken, Checked::Valid(_)), "{taken:?}");
    assert_eq!(check(&mut authenticator, &at(NOW_S + 59)), taken);
    assert_eq!(check(&mut authenticator, &at(NOW_S + 60)), unknown);
    // Other keys do not matter to it, a revocation does.
    authenticator.keep_introspected(b"opaque1", result, NOW_S);
    authenticator.update(verifier.clone(), true);
    assert_eq!(check(&mut authenticator, &now()), taken);
    let mut denied = DenyList::default();
    denied.revoke_subject("partner", "alice");
    authenticator.update(verifier.clone().with_deny_list(Arc::new(denied)), true);
    assert_eq!(check(&mut authenticator, &now()), unknown);
    // An inactive token is remembered, an issuer that is away is not.
    let inactive = Err(TokenFault::Inactive);
    authenticator.keep_introspected(b"opaque1", inactive, NOW_S);
    let refused = Checked::Refused(TokenFault::Inactive);
    assert_eq!(check(&mut authenticator, &at(NOW_S + 9)), refused);
    assert_eq!(check(&mut authenticator, &at(NOW_S + 10)), unknown);
    let away = Err(TokenFault::KeysUnavailable);
    authenticator.keep_introspected(b"opaque2", away, NOW_S);
    let found = authenticator.check(bearer("Bearer opaque2"), &now(), &mut 9);
    assert_eq!(found, unknown);
}

#[test]
fn the_request_that_waits_finds_a_refusal_for_now() {
    let verifier = verifier(true);
    let cache = TokenCache::new(CacheLimits::default(), &[1; 32]);
    let mut authenticator = Authenticator::new(verifier.clone(), cache);
    let later = (NOW_S + 3600).to_string();
    for (name, value, fault) in [
        ("nbf", later.as_str(), TokenFault::NotYetValid),
        ("cnf", r#"{"jkt":"a"}"#, TokenFault::Binding),
    ] {
        let answer = active().with(name, value).json();
        let result = verifier.verify_introspection("partner", answer.as_bytes(), NOW_S);
        assert_eq!(result, Err(fault));
        authenticator.keep_introspected(b"opaque1", result, NOW_S);
        for (now_s, expected) in [(NOW_S + 1, fault), (NOW_S + 2, TokenFault::NotIntrospected)] {
            let found = authenticator.check(bearer("Bearer opaque1"), &at(now_s), &mut 9);
            assert_eq!(found, Checked::Refused(expected), "{name}");
        }
    }
}

#[test]
fn a_bound_token_is_valid_on_its_connection_only() {
    let verifier = verifier(true);
    let cache = TokenCache::new(CacheLimits::default(), &[1; 32]);
    let mut authenticator = Authenticator::new(verifier.clone(), cache);
    let own = [7; 32];
    let cnf = format!(r#"{{"x5t#S256":"{}"}}"#, encode(own));
    let answer = active().with("cnf", &cnf).json();
    let result = verifier.verify_introspection("partner", answer.as_bytes(), NOW_S);
    let with = |certificate| Circumstances {
        certificate,
        ..now()
    };
    let foreign = [8; 32];
    authenticator.keep_introspected(b"opaque3", result, NOW_S);
    for (certificate, is_valid) in [(None, false), (Some(&foreign), false), (Some(&own), true)] {
        let token = bearer("Bearer opaque3");
        let checked = authenticator.check(token, &with(certificate), &mut 9);
        match is_valid {
            true => assert!(matches!(checked, Checked::Valid(_)), "{checked:?}"),
            false => assert_eq!(checked, Checked::Refused(TokenFault::Binding)),
        }
    }
}

#[test]
fn only_access_tokens_are_taken() {
    let verifier = verifier(true);
    for (claim, value, is_taken) in [
        ("token_type", "\"Bearer\"", true),
        ("token_type", "\"access_token\"", true),
        ("token_use", "\"access\"", true),
        ("token_type", "\"refresh_token\"", false),
        ("token_type", "\"DPoP\"", false),
        ("token_use", "\"refresh_token\"", false),
        ("token_use", "\"id\"", false),
        ("token_type", "[\"Bearer\"]", false),
    ] {
        let found = outcome(&verifier, &active().with(claim, value));
        let refused = Err(TokenFault::Inactive);
        assert_eq!(found.is_ok(), is_taken, "{claim} {value}: {found:?}");
        assert!(is_taken || found == refused, "{claim} {value}: {found:?}");
    }
}
