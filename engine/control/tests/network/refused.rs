//! Answers and addresses that are refused.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use corelane_control::config::Limits;
use corelane_control::fetch::Lookup;
use corelane_guard::access::{IssuerRequest, RequestState};

use super::issuer::{Host, Key, key_set, metadata};
use super::{Server, configuration, verify};

const METADATA: &str = "/.well-known/oauth-authorization-server";

/// A look-up that gives these addresses in turn, and the last one from then on.
fn lookup(answers: &'static [&'static [&'static str]]) -> Lookup {
    let turn = Arc::new(AtomicUsize::new(0));
    Arc::new(move |_| {
        let place = turn.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let addresses = answers[place]
            .iter()
            .map(|it| it.parse().expect("an address"));
        let addresses: Vec<IpAddr> = addresses.collect();
        Box::pin(async move { Ok(addresses) })
    })
}

#[test]
fn a_redirect_is_not_followed() {
    let (host, key) = (Host::new(), Key::new("1"));
    host.answer("/elsewhere", &key_set(&[&key]));
    let to = format!("{}/elsewhere", host.url());
    let response = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    host.answer_raw("/keys", response);
    let lines = format!("jwks_uri = \"{}/keys\"", host.url());
    Server::start(&configuration(&host.url(), &lines)).assert_no_keys();
    assert_eq!((host.count("/keys"), host.count("/elsewhere")), (1, 0));
}

#[test]
fn long_slow_and_broken_answers_are_refused() {
    let key = Key::new("1");
    let set = key_set(&[&key]);
    let long = format!("{set}{}", " ".repeat(256 * 1024));
    let announced = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}",
        long.len()
    );
    let unannounced = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{long}");
    let cut = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{set}");
    let no_set = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned();
    let created = format!(
        "HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{set}",
        set.len()
    );
    // A connection that ends without an answer is tried once more.
    let rows = [announced, unannounced, cut, no_set, created].map(|response| (response, 1));
    for (response, requests) in rows.into_iter().chain([("x".to_owned(), 2)]) {
        let host = Host::new();
        host.answer_raw("/keys", response);
        let lines = format!("jwks_uri = \"{}/keys\"", host.url());
        Server::start(&configuration(&host.url(), &lines)).assert_no_keys();
        assert_eq!(host.count("/keys"), requests);
    }
}

/// A server closes a kept connection just when the next request arrives on it.
#[test]
fn a_request_on_a_kept_connection_that_closes_is_sent_again() {
    let key = Key::new("1");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", socket.local_addr().expect("an address"));
    let answers = [metadata(&url, &format!("{url}/keys")), key_set(&[&key])];
    let host = thread::spawn(move || {
        for body in answers {
            let (mut stream, _) = socket.accept().expect("a connection");
            read_request(&mut stream);
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).expect("it is read");
            // The next one is read and not answered.
            read_request(&mut stream);
        }
    });
    let server = Server::start(&configuration(&url, ""));
    let access = server.with_keys();
    assert!(verify(&access, &key.token(&url)).is_ok());
    assert_eq!(server.control.counters().fetches_failed.value(), 0);
    drop(server);
    host.join().expect("both requests came");
}

/// Reads until a head is whole, or the connection ends.
fn read_request(stream: &mut TcpStream) {
    let mut read = Vec::new();
    let mut piece = [0; 1024];
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&piece[..count]),
        }
    }
}

#[test]
fn an_issuer_that_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let lines = format!("jwks_uri = \"{url}/keys\"");
    Server::start(&configuration(&url, &lines)).assert_no_keys();
}

#[test]
fn metadata_of_another_issuer_lead_nowhere() {
    let (host, key) = (Host::new(), Key::new("1"));
    host.answer("/keys", &key_set(&[&key]));
    let other = format!("{}/", host.url());
    host.answer(METADATA, &metadata(&other, &format!("{}/keys", host.url())));
    Server::start(&configuration(&host.url(), "")).assert_no_keys();
    assert_eq!(host.count("/keys"), 0);
}

#[test]
fn metadata_do_not_lead_to_other_ports_schemes_and_addresses() {
    let target = Host::new();
    let port = target.address.port();
    for url in [
        format!("http://0x7f000001.example:{port}/keys"),
        format!("https://10.0.0.1:{port}/keys"),
        "https://169.254.169.254/keys".to_owned(),
        "https://[::ffff:169.254.169.254]/keys".to_owned(),
        format!("ftp://127.0.0.1:{port}/keys"),
    ] {
        let host = Host::new();
        host.answer(METADATA, &metadata(&host.url(), &url));
        Server::start(&configuration(&host.url(), "")).assert_no_keys();
    }
    assert_eq!(target.requests(), [] as [String; 0]);
}

#[test]
fn names_that_resolve_to_refused_addresses_see_no_connection() {
    let target = Host::new();
    let port = target.address.port();
    let answers: [&'static [&'static [&'static str]]; 6] = [
        &[&["127.0.0.1"]],
        &[&["::ffff:127.0.0.1"]],
        &[&["0.0.0.0"]],
        &[&["169.254.169.254"]],
        &[&["8.8.8.8", "127.0.0.1"]],
        &[&[]],
    ];
    for answers in answers {
        let issuer = format!("https://login.example.com:{port}");
        let lines = format!("jwks_uri = \"{issuer}/keys\"");
        let text = configuration(&issuer, &lines);
        let server = Server::start_with(&text, Limits::default(), lookup(answers));
        server.assert_no_keys();
    }
    assert_eq!(target.requests(), [] as [String; 0]);
}

#[test]
fn a_name_that_is_rebound_is_resolved_once_for_a_connection() {
    let (host, key) = (Host::new(), Key::new("1"));
    host.answer("/keys", &key_set(&[&key]));
    let issuer = format!("http://localhost:{}", host.address.port());
    let lines = format!("jwks_uri = \"{issuer}/keys\"");
    let limits = Limits {
        refresh_interval_min: Duration::ZERO,
        ..Limits::default()
    };
    // A second look-up of the first fetch would get an address that is refused.
    let answers = lookup(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let server = Server::start_with(&configuration(&issuer, &lines), limits, answers);
    server.with_keys();
    let state = server.control.issuers().request(IssuerRequest::Key {
        issuer: "corp".into(),
        kid: None,
    });
    assert_eq!(state, RequestState::Pending);
    // The keys of before stay.
    assert_eq!(server.next().verifier.issuers_without_keys().count(), 0);
    assert_eq!(server.control.counters().fetches_failed.value(), 1);
    assert_eq!(host.count("/keys"), 1);
}
