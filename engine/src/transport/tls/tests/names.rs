//! The names of servers and clients.

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SanType,
    date_time_ymd,
};

use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::Arc;
use std::time::Duration;

use super::{Authority, Client, NAME, server_config, shake_hands};
use crate::profile::{ClientCertificates, Tls};

#[test]
fn a_client_gets_the_certificate_with_its_name() {
    let authority = Authority::new();
    let tls = Tls {
        certificates: vec![
            authority.server_files("first", &[NAME, "first.example"]),
            authority.server_files("second", &["Second.example", "*.wild.example"]),
            authority.server_files_of("rsa", &["rsa.example"], &PKCS_RSA_SHA256),
            authority.server_files_of("p384", &["p384.example"], &PKCS_ECDSA_P384_SHA384),
        ],
        ..Tls::default()
    };
    let server = server_config(&tls);
    let config = authority.client_config();
    let check = |name: &'static str, is_served: bool| {
        let outcome = shake_hands(&mut Client::new(&config, name), &server);
        assert_eq!(outcome.is_ok(), is_served, "{name}");
    };
    for name in [NAME, "first.example", "second.example", "SECOND.example"] {
        check(name, true);
    }
    for name in ["a.wild.example", "rsa.example", "p384.example"] {
        check(name, true);
    }
    // They get the first certificate, which has another name.
    for name in [
        "wild.example",
        "a.b.wild.example",
        "other.example",
        "127.0.0.1",
    ] {
        check(name, false);
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn email(text: &str) -> SanType {
    SanType::Rfc822Name(text.try_into().unwrap())
}

/// Settings that require certificates of this authority.
fn requiring_clients(authority: &Authority) -> Tls {
    Tls {
        certificates: vec![authority.server_files("server", &[NAME])],
        client_certificates: ClientCertificates::Required,
        client_ca_files: vec![authority.file()],
        ..Tls::default()
    }
}

/// The principal of a client with these names in its certificate.
fn principal(names: Vec<SanType>) -> Result<Option<Box<str>>, String> {
    let authority = Authority::new();
    let tls = requiring_clients(&authority);
    let identity = authority.client_identity(names);
    let config = authority.client_config_with(identity);
    let server = server_config(&tls);
    // A resumed session has the principal of the first.
    let first = shake_hands(&mut Client::new(&config, NAME), &server)?;
    let second = shake_hands(&mut Client::new(&config, NAME), &server)?;
    assert!(second.is_resumed && !first.is_resumed);
    assert_eq!(first.client, second.client);
    Ok(first.client.map(|client| client.subject))
}

#[test]
fn the_principal_is_the_most_specific_name_of_the_certificate() {
    let check = |principal_name: &str, names: Vec<SanType>| {
        let found = principal(names).unwrap();
        assert_eq!(found.as_deref(), Some(principal_name));
    };
    let spiffe = "spiffe://example.org/agent";
    let all = || vec![dns("a.example"), email("a@example.org"), uri(spiffe)];
    check("tls:uri=spiffe://example.org/agent", all());
    check("tls:email=a@example.org", all()[..2].to_vec());
    check("tls:dns=a.example", all()[..1].to_vec());
    check(
        "tls:dns=a.example",
        vec![dns("a.example"), dns("b.example")],
    );
    check(
        "tls:email=J%20M%25@example.org",
        vec![email("J M%@example.org")],
    );
}

#[test]
fn a_certificate_without_a_name_is_refused() {
    let error = principal(Vec::new()).unwrap_err();
    assert!(error.contains("it has no URI"), "{error}");
    assert!(error.contains("BadCertificate"), "{error}");
    let error = principal(vec![dns(&"x".repeat(300))]).unwrap_err();
    assert!(error.contains("exceeds the limit of 256 bytes"), "{error}");
}

/// A clock that always shows the same time.
#[derive(Debug)]
struct Always(UnixTime);

impl TimeProvider for Always {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

#[test]
fn a_ticket_does_not_outlive_the_certificate_of_its_client() {
    let authority = Authority::new();
    let chain = authority.client_chain(0, |params| params.not_after = date_time_ymd(2400, 1, 2));
    let config = authority.client_config_of(chain);
    let server = server_config(&requiring_clients(&authority));
    let at = |day: u64| {
        let mut server = ServerConfig::clone(&server);
        // The first of January 2400 and the days after it.
        let time = Duration::from_secs(13_569_465_600 + day * 86_400);
        server.time_provider = Arc::new(Always(UnixTime::since_unix_epoch(time)));
        shake_hands(&mut Client::new(&config, NAME), &Arc::new(server))
    };
    let first = at(0).unwrap();
    assert!(!first.is_resumed && first.client.is_some());
    assert!(at(0).unwrap().is_resumed);
    let error = at(2).err().unwrap();
    assert!(error.contains("expired since its session"), "{error}");
    assert!(error.contains("CertificateExpired"), "{error}");
}

#[test]
fn certificates_of_clients_are_verified() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let tls = |client_certificates| Tls {
        certificates: vec![authority.server_files("server", &[NAME])],
        client_certificates,
        client_ca_files: vec![authority.file()],
        ..Tls::default()
    };
    let check = |is_required, signer: Option<&Authority>, expected: Result<Option<&str>, &str>| {
        let config = match signer {
            Some(signer) => {
                authority.client_config_with(signer.client_identity(vec![dns("agent")]))
            }
            None => authority.client_config(),
        };
        let kind = match is_required {
            true => ClientCertificates::Required,
            false => ClientCertificates::Optional,
        };
        let server = server_config(&tls(kind));
        let outcome = shake_hands(&mut Client::new(&config, NAME), &server);
        match expected {
            Ok(name) => assert_eq!(
                outcome.unwrap().client.map(|it| it.subject).as_deref(),
                name
            ),
            Err(expected) => {
                let error = outcome.err().unwrap();
                assert!(error.contains(expected), "{error}");
            }
        }
    };
    for is_required in [true, false] {
        check(is_required, Some(&authority), Ok(Some("tls:dns=agent")));
        check(is_required, Some(&foreign), Err("invalid peer certificate"));
    }
    check(true, None, Err("CertificateRequired"));
    check(false, None, Ok(None));
}

#[test]
fn chains_of_clients_are_verified() {
    let authority = Authority::new();
    let tls = requiring_clients(&authority);
    let server = server_config(&tls);
    let principal = |chain| {
        let config = authority.client_config_of(chain);
        let outcome = shake_hands(&mut Client::new(&config, NAME), &server);
        outcome.map(|established| established.client.map(|client| client.subject))
    };
    let name = Some("tls:dns=agent".into());
    for intermediates in [0, 1, 3] {
        let chain = authority.client_chain(intermediates, |_| {});
        assert_eq!(principal(chain), Ok(name.clone()), "{intermediates}");
    }
    let (mut chain, key) = authority.client_chain(2, |_| {});
    chain.remove(1);
    refused(principal((chain, key)), "UnknownIssuer");
    // More than any authority needs.
    refused(
        principal(authority.client_chain(10, |_| {})),
        "invalid peer certificate",
    );
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
    refused(
        principal(authority.client_chain(1, expired)),
        "certificate expired",
    );
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    refused(principal(authority.client_chain(1, early)), "not valid yet");
    let of_server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    refused(
        principal(authority.client_chain(1, of_server)),
        "invalid peer certificate",
    );
    // A certificate that is no authority signs none.
    let (mut chain, _) = authority.client_chain(0, |_| {});
    let (signed, key) = authority.client_chain(1, |_| {});
    chain.insert(0, signed[0].clone());
    refused(principal((chain, key)), "UnknownIssuer");
}

#[track_caller]
fn refused(principal: Result<Option<Box<str>>, String>, expected: &str) {
    let error = principal.unwrap_err();
    assert!(error.contains(expected), "{error}");
}
