//! Keys: where they are found, rotation, unknown ids, and outages.

use std::time::Duration;

use corelane_control::config::{Config, Limits};
use corelane_control::fetch::system_lookup;
use corelane_control::probe::{probe, verifier};
use corelane_guard::access::{IssuerRequest, RequestState};
use corelane_guard::token::fault::TokenFault;

use super::issuer::{Host, Key, key_set, metadata};
use super::{Server, configuration, verify};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

fn request(server: &Server, kid: &str) -> RequestState {
    server.control.issuers().request(IssuerRequest::Key {
        issuer: "corp".into(),
        kid: Some(kid.into()),
    })
}

#[test]
fn the_first_snapshot_has_no_keys_and_a_later_one_has_those_at_the_url() {
    let (host, key) = (Host::new(), Key::new("1"));
    host.answer("/keys", &key_set(&[&key]));
    let lines = format!("jwks_uri = \"{}/keys\"", host.url());
    let server = Server::start(&configuration(&host.url(), &lines));
    let first = server.next();
    let token = key.token(&host.url());
    assert_eq!((first.generation, first.configuration), (1, 1));
    assert_eq!(verify(&first, &token), Err(TokenFault::KeysUnavailable));
    let second = server.with_keys();
    assert_eq!((second.generation, second.configuration), (2, 1));
    assert_eq!(verify(&second, &token), Ok("jwt:corp:alice".to_owned()));
    let ages = server.control.key_ages();
    assert!(
        matches!(&ages[..], [(alias, Some(_))] if **alias == *"corp"),
        "{ages:?}"
    );
    let request = &host.requests()[0];
    assert!(request.starts_with("GET /keys HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_lowercase().contains("cookie"), "{request}");
}

#[test]
fn keys_are_found_by_the_metadata_in_three_orders() {
    for path in ["", "/tenant"] {
        let places = match path {
            "" => vec![OAUTH.to_owned(), OPENID.to_owned()],
            path => vec![
                format!("{OAUTH}{path}"),
                format!("{OPENID}{path}"),
                format!("{path}{OPENID}"),
            ],
        };
        for (number, place) in places.iter().enumerate() {
            let (host, key) = (Host::new(), Key::new("1"));
            let issuer = format!("{}{path}", host.url());
            host.answer(place, &metadata(&issuer, &format!("{}/keys", host.url())));
            host.answer("/keys", &key_set(&[&key]));
            let server = Server::start(&configuration(&issuer, ""));
            let access = server.with_keys();
            assert!(verify(&access, &key.token(&issuer)).is_ok(), "{place}");
            // Those before it were looked at, those after it were not. A request may have been sent
            // again, as its connection closed.
            let requests = host.requests();
            let is_requested = |place: &String| {
                let start = format!("GET {place} HTTP/1.1\r\n");
                requests.iter().any(|request| request.starts_with(&start))
            };
            let requested: Vec<bool> = places.iter().map(is_requested).collect();
            let expected: Vec<bool> = (0..places.len()).map(|other| other <= number).collect();
            assert_eq!(requested, expected, "{requests:?}");
        }
    }
}

#[test]
fn a_token_with_an_unknown_key_fetches_once_in_each_interval() {
    let (host, old, new) = (Host::new(), Key::new("old"), Key::new("new"));
    host.answer("/keys", &key_set(&[&old]));
    let lines = format!("jwks_uri = \"{}/keys\"", host.url());
    let limits = Limits {
        refresh_interval_min: Duration::from_millis(300),
        ..Limits::default()
    };
    let text = configuration(&host.url(), &lines);
    let server = Server::start_with(&text, limits, system_lookup());
    let access = server.with_keys();
    let token = new.token(&host.url());
    assert_eq!(verify(&access, &token), Err(TokenFault::UnknownKey));
    host.answer("/keys", &key_set(&[&old, &new]));
    // Keys were fetched a moment ago, but not for a token.
    assert_eq!(request(&server, "new"), RequestState::Pending);
    let access = server.until(|access| verify(access, &token).is_ok());
    assert_eq!(
        verify(&access, &old.token(&host.url())),
        Ok("jwt:corp:alice".to_owned())
    );
    assert_eq!(host.count("/keys"), 2);
    // Too early until the interval is over; then there is one fetch for all.
    let mut requests = 0_u64;
    while request(&server, "strange") == RequestState::Busy {
        requests += 1;
        std::thread::yield_now();
    }
    assert_eq!(
        server.control.counters().key_requests_refused.value(),
        requests
    );
    // An id that the fresh set lacks is refused also after the interval.
    server.next();
    let before = host.count("/keys");
    while request(&server, "other") == RequestState::Busy {
        assert_eq!(request(&server, "strange"), RequestState::Refused);
        std::thread::yield_now();
    }
    server.next();
    assert_eq!(host.count("/keys"), before + 1);
}

#[test]
fn a_storm_of_random_ids_fetches_no_more_than_the_first_time() {
    for keys in ["empty", "one"] {
        let (host, key) = (Host::new(), Key::new("1"));
        let set = match keys {
            "one" => key_set(&[&key]),
            _ => key_set(&[]),
        };
        host.answer("/keys", &set);
        let lines = format!("jwks_uri = \"{}/keys\"", host.url());
        let server = Server::start(&configuration(&host.url(), &lines));
        let access = server.with_keys();
        let pending = (0..10_000)
            .filter(|number| request(&server, &number.to_string()) == RequestState::Pending)
            .count();
        // One for all of them; and one more on a machine that is so slow that 30 s pass.
        let fetches = host.count("/keys");
        assert!(pending > 0 && fetches <= 3, "{keys}: {pending} {fetches}");
        let is_good = verify(&access, &key.token(&host.url())).is_ok();
        assert_eq!(is_good, keys == "one");
    }
}

#[test]
fn an_outage_keeps_the_keys_until_their_age() {
    let (host, key) = (Host::new(), Key::new("1"));
    host.answer("/keys", &key_set(&[&key]));
    let lines = format!("jwks_uri = \"{}/keys\"", host.url());
    let limits = Limits {
        refresh_interval_min: Duration::ZERO,
        keys_age_max: Duration::from_secs(8),
        ..Limits::default()
    };
    let text = configuration(&host.url(), &lines);
    let server = Server::start_with(&text, limits, system_lookup());
    let token = key.token(&host.url());
    assert!(verify(&server.with_keys(), &token).is_ok());
    host.answer_raw("/keys", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(request(&server, "x"), RequestState::Pending);
    // The snapshot after the failure has the old keys.
    assert!(verify(&server.next(), &token).is_ok());
    assert_eq!(server.control.counters().fetches_failed.value(), 1);
    let access = server.until(|access| access.verifier.issuers_without_keys().count() == 1);
    assert_eq!(verify(&access, &token), Err(TokenFault::KeysUnavailable));
    host.answer("/keys", &key_set(&[&key]));
    assert!(verify(&server.with_keys(), &token).is_ok());
}

#[test]
fn a_key_is_retired_by_a_fetch_that_lacks_it() {
    let (host, old, new) = (Host::new(), Key::new("old"), Key::new("new"));
    host.answer("/keys", &key_set(&[&old]));
    let lines = format!("jwks_uri = \"{}/keys\"", host.url());
    let limits = Limits {
        refresh_interval_min: Duration::ZERO,
        ..Limits::default()
    };
    let text = configuration(&host.url(), &lines);
    let server = Server::start_with(&text, limits, system_lookup());
    let token = old.token(&host.url());
    assert!(verify(&server.with_keys(), &token).is_ok());
    host.answer("/keys", &key_set(&[&new]));
    assert_eq!(request(&server, "new"), RequestState::Pending);
    assert_eq!(verify(&server.next(), &token), Err(TokenFault::UnknownKey));
    // No further fetch is needed to refuse it.
    assert_eq!(request(&server, "old"), RequestState::Refused);
}

#[test]
fn a_probe_fetches_once_and_compares_the_clocks() {
    let (host, key) = (Host::new(), Key::new("1"));
    let set = key_set(&[&key]);
    host.answer_with("/keys", "Date: Thu, 01 Jan 1970 00:01:00 GMT\r\n", &set);
    let lines = format!("jwks_uri = \"{}/keys\"", host.url());
    let other = "[[auth.issuer]]\nalias = \"away\"\nissuer = \"http://127.0.0.1:1\"\n";
    let text = configuration(&host.url(), &lines) + other;
    let server = super::facts(Limits::default());
    let config = Config::parse(&text, "".as_ref(), &server, &mut Vec::new());
    let config = config.unwrap_or_else(|faults| panic!("{faults:?}"));
    let probed = probe(&config).expect("requests");
    assert!(probed[0].clock_ahead_s.expect("a date") < -1_000_000);
    assert!(probed[1].keys.is_err());
    let verifier = verifier(&config, &server.limits, &probed);
    let away: Vec<&str> = verifier.issuers_without_keys().collect();
    assert_eq!(away, ["away"]);
}
