//! Connections against a server of rustls, in memory.

use super::{Tls, TlsSettings};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// A server with a certificate of its own for `localhost`, and that in PEM.
fn server() -> (Arc<ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    (Arc::new(config), made.cert.pem())
}

/// A connection and the bytes that it has for the server.
struct End {
    tls: Tls,
    plaintext: Vec<u8>,
    out: Vec<u8>,
    is_open: bool,
}

impl End {
    fn new(settings: &TlsSettings) -> End {
        let mut out = Vec::new();
        End {
            tls: settings.connection(&mut out).unwrap(),
            plaintext: Vec::new(),
            out,
            is_open: false,
        }
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), rustls::Error> {
        let taken = self.tls.take(bytes, &mut self.plaintext, &mut self.out);
        self.is_open = taken.clone().unwrap_or(false);
        taken.map(|_| ())
    }
}

/// Lets the two exchange all they have; the connection gets pieces of `piece_bytes`. Returns what
/// the server read.
fn exchange(
    end: &mut End,
    server: &mut ServerConnection,
    piece_bytes: usize,
) -> Result<Vec<u8>, rustls::Error> {
    let mut read = Vec::new();
    loop {
        let mut sent = Cursor::new(std::mem::take(&mut end.out));
        while server.read_tls(&mut sent).unwrap() > 0 {
            server.process_new_packets()?;
            // It ends with an error, as the connection goes on.
            let _ = server.reader().read_to_end(&mut read);
        }
        let mut answered = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut answered).unwrap();
        }
        for piece in answered.chunks_mut(piece_bytes) {
            end.take(piece)?;
        }
        if end.out.is_empty() {
            return Ok(read);
        }
    }
}

#[test]
fn plaintext_crosses_in_both_directions_whole_and_byte_by_byte() {
    let (config, _) = server();
    let settings = TlsSettings::new("localhost", None, false).unwrap();
    for piece_bytes in [1, 7, usize::MAX] {
        let mut end = End::new(&settings);
        let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
        exchange(&mut end, &mut server, piece_bytes).unwrap();
        assert!(end.is_open);
        // More than a record holds, and the renewal of a key between two records.
        let request = b"request".repeat(5_000);
        for round in 0..3 {
            end.tls.seal(&request, &mut end.out);
            end.tls.seal(b"more", &mut end.out);
            if round == 1 {
                server.refresh_traffic_keys().unwrap();
            }
            server.writer().write_all(b"answer").unwrap();
            server.writer().write_all(&request).unwrap();
            let read = exchange(&mut end, &mut server, piece_bytes).unwrap();
            assert_eq!(read, [&*request, b"more"].concat());
            assert_eq!(end.plaintext, [b"answer", &*request].concat());
            end.plaintext.clear();
        }
        assert!(end.tls.unread.is_empty());
    }
}

#[test]
fn the_certificate_is_checked_with_a_ca_file_only() {
    let (config, own) = server();
    let (_, other) = server();
    let check = |host: &str, authority: Option<&str>, error: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, authority.unwrap_or_default()).unwrap();
        let settings = TlsSettings::new(host, authority.map(|_| &*path), false).unwrap();
        let mut end = End::new(&settings);
        let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
        let exchanged = exchange(&mut end, &mut server, usize::MAX);
        assert_eq!(end.is_open, error.is_none());
        match error {
            None => assert!(exchanged.is_ok()),
            Some(text) => {
                let error = exchanged.unwrap_err().to_string();
                assert!(error.contains(text), "{error}");
                // The server gets an alert.
                assert!(!end.out.is_empty());
            }
        }
    };
    check("localhost", Some(&own), None);
    check("example.org", None, None);
    check("example.org", Some(&own), Some("not valid for"));
    check("localhost", Some(&other), Some("invalid peer certificate"));
}

#[test]
fn a_file_without_certificates_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let error = |path: &Path| TlsSettings::new("localhost", Some(path), false).unwrap_err();
    assert!(error(&path).to_string().contains("ca.pem"));
    std::fs::write(&path, "no PEM").unwrap();
    assert!(error(&path).to_string().contains("no certificate in PEM"));
}

#[test]
fn keys_are_used_again_only_if_that_is_wanted() {
    let (config, _) = server();
    for (resumes, kind) in [(true, HandshakeKind::Resumed), (false, HandshakeKind::Full)] {
        let settings = TlsSettings::new("localhost", None, resumes).unwrap();
        let kinds = [(); 2].map(|()| {
            let mut end = End::new(&settings);
            let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
            exchange(&mut end, &mut server, usize::MAX).unwrap();
            server.handshake_kind()
        });
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(kind)]);
    }
}
