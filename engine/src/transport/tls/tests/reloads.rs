//! The files of the configuration, and their replacement.

use std::fs;

use rustls::HandshakeKind;

use super::authority::set_mode;
use super::{Authority, Client, NAME, shake_hands};
use crate::profile::{CertificateFiles, ClientCertificates, Tls};
use crate::transport::tls::config::{TlsSource, TlsView};

fn tls(files: CertificateFiles) -> Tls {
    Tls {
        certificates: vec![files],
        ..Tls::default()
    }
}

/// Whether a new client that trusts `authority` is served.
fn serves(view: &mut TlsView, authority: &Authority) -> bool {
    let mut client = Client::new(&authority.client_config(), NAME);
    shake_hands(&mut client, &view.current()).is_ok()
}

#[test]
fn new_files_are_for_new_handshakes_and_broken_ones_change_nothing() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.server_files("server", &[NAME]);
    let tls = tls(files.clone());
    let source = TlsSource::read(&tls).unwrap();
    let mut view = source.view();
    assert!(serves(&mut view, &old));

    let replacement = new.server_files("server", &[NAME]);
    // The certificate comes first, and for a moment it has the key of another one.
    fs::copy(&replacement.certificate_file, &files.certificate_file).unwrap();
    let error = source.reload(&tls).unwrap_err().to_string();
    assert!(error.contains("cannot be used"), "{error}");
    assert!(serves(&mut view, &old));

    fs::copy(&replacement.key_file, &files.key_file).unwrap();
    source.reload(&tls).unwrap();
    assert!(serves(&mut view, &new));
    assert!(!serves(&mut view, &old));
}

#[test]
fn tickets_end_with_a_reload_where_clients_present_certificates() {
    let authority = Authority::new();
    let tls = Tls {
        client_certificates: ClientCertificates::Optional,
        client_ca_files: vec![authority.file()],
        ..tls(authority.server_files("server", &[NAME]))
    };
    let source = TlsSource::read(&tls).unwrap();
    let mut view = source.view();
    let config = authority.client_config();
    let connect = |view: &mut TlsView| {
        let mut client = Client::new(&config, NAME);
        shake_hands(&mut client, &view.current()).unwrap();
        client.tls.handshake_kind().unwrap()
    };
    assert_eq!(connect(&mut view), HandshakeKind::Full);
    assert_eq!(connect(&mut view), HandshakeKind::Resumed);
    source.reload(&tls).unwrap();
    assert_eq!(connect(&mut view), HandshakeKind::Full);
}

#[test]
fn errors_name_the_file_and_the_remedy() {
    let authority = Authority::new();
    let fresh = || authority.server_files("server", &[NAME]);
    let error = |tls: &Tls| TlsSource::read(tls).unwrap_err().to_string();
    let check = |tls: &Tls, expected: &str| {
        let error = error(tls);
        assert!(error.contains(expected), "{error}");
    };
    check(&Tls::default(), "a listener with TLS needs a certificate");

    let files = fresh();
    let key = files.key_file.display().to_string();
    for mode in [0o640, 0o604, 0o620, 0o644, 0o777] {
        set_mode(&files.key_file, mode);
        let expected = format!("key file {key} has mode {mode:03o}, so that others may read it");
        check(&tls(files.clone()), &expected);
        check(&tls(files.clone()), &format!("run chmod 600 {key}"));
    }
    set_mode(&files.key_file, 0o400);
    TlsSource::read(&tls(files.clone())).unwrap();

    let mut swapped = fresh();
    swapped.key_file = swapped.certificate_file.clone();
    set_mode(&swapped.key_file, 0o600);
    check(&tls(swapped), "has no private key in PEM");

    let files = fresh();
    fs::write(&files.certificate_file, "no PEM").unwrap();
    check(&tls(files.clone()), "has no certificate in PEM");
    fs::write(&files.certificate_file, vec![b'x'; (1 << 20) + 1]).unwrap();
    check(&tls(files.clone()), "exceeds limit of 1048576 bytes");
    fs::remove_file(&files.certificate_file).unwrap();
    check(&tls(files), "server.pem: No such file or directory");

    let other = authority.server_files("other", &[NAME]);
    let mut mixed = fresh();
    mixed.key_file = other.key_file;
    check(&tls(mixed), "cannot be used");

    let clients = Tls {
        client_certificates: ClientCertificates::Required,
        client_ca_files: vec![authority.folder().join("missing.pem")],
        ..tls(fresh())
    };
    check(&clients, "missing.pem: No such file or directory");
}
