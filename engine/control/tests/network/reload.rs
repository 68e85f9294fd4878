//! Reloads: on a signal and on a change, as a whole or not at all.

use super::issuer::{Host, Key, key_set};
use super::{Server, configuration, verify, write};

#[test]
fn a_changed_file_is_read_again_and_keys_stay() {
    let (host, key) = (Host::new(), Key::new("1"));
    host.answer("/keys", &key_set(&[&key]));
    let lines = format!("jwks_uri = \"{}/keys\"", host.url());
    let text = configuration(&host.url(), &lines);
    let server = Server::start(&text);
    let token = key.token(&host.url());
    assert!(verify(&server.with_keys(), &token).is_ok());
    let optional = text.replace("[auth]", "[auth]\nmode = \"optional\"");
    write(&server.folder, "corelane.toml", &optional);
    let access = server.until(|access| access.configuration == 2);
    assert!(!access.requires_credential);
    assert!(verify(&access, &token).is_ok());
    assert_eq!(host.count("/keys"), 1, "the keys are those of before");
    let moved = optional.replace("/keys", "/other");
    host.answer("/other", &key_set(&[]));
    write(&server.folder, "corelane.toml", &moved);
    let access = server.until(|access| access.configuration == 3);
    assert!(verify(&access, &token).is_err(), "other keys are fetched");
}

#[test]
fn a_configuration_with_a_fault_is_refused_as_a_whole() {
    let text = "[policy]\ndefault = \"authenticated\"\n";
    let server = Server::start(text);
    assert!(server.next().requires_credential);
    let refused = |count| {
        while server.control.counters().configurations_refused.value() < count {
            std::thread::yield_now();
        }
    };
    let broken = format!("{text}[auth]\nmode = \"optional\"\nresource = \"x\"\n");
    write(&server.folder, "corelane.toml", &broken);
    server.control.reload();
    refused(1);
    server.control.reload();
    refused(2);
    assert!(server.snapshots.try_recv().is_err(), "nothing is published");
    write(
        &server.folder,
        "corelane.toml",
        &format!("{text}[auth]\nmode = \"optional\"\n"),
    );
    server.control.reload();
    let access = server.next();
    assert_eq!(
        (access.configuration, access.requires_credential),
        (2, false)
    );
}

#[test]
fn files_that_the_configuration_names_are_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (Key::new("1"), Key::new("2"));
    write(&folder, "keys.json", &key_set(&[&old]));
    let issuer = "https://login.example.com";
    let text = configuration(issuer, "jwks_file = \"keys.json\"");
    let limits = corelane_control::config::Limits::default();
    let lookup = corelane_control::fetch::system_lookup();
    let server = Server::start_in(folder, &text, limits, lookup);
    let access = server.next();
    assert!(verify(&access, &old.token(issuer)).is_ok());
    assert!(verify(&access, &new.token(issuer)).is_err());
    write(&server.folder, "keys.json", "{}");
    while server.control.counters().configurations_refused.value() < 1 {
        std::thread::yield_now();
    }
    write(&server.folder, "keys.json", &key_set(&[&new]));
    let access = server.until(|access| access.configuration == 2);
    assert!(verify(&access, &old.token(issuer)).is_err());
    assert!(verify(&access, &new.token(issuer)).is_ok());
}
