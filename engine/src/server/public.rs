//! The conditions under which a server listens on an address that other hosts reach.
//!
//! Such an address needs authentication, encryption and the names of its hosts, or a word of the
//! operator for each that it lacks. Loopback addresses and Unix sockets need none of it.

use super::error::{Error, Result};
use crate::profile::{Binding, ClientCertificates, ListenAddress, Profile};

/// Checks the addresses of a profile before anything listens.
///
/// # Errors
/// Everything that an address lacks, with the lines to write.
pub(super) fn check(profile: &Profile) -> Result<()> {
    let mut faults = Vec::new();
    for address in &profile.server.listen {
        if !is_public(address) {
            continue;
        }
        for missing in missing(profile, address) {
            faults.push(format!("{address} {missing}"));
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Error::Public(faults.join("\n"))),
    }
}

/// Whether other hosts reach an address.
pub(super) fn is_public(address: &ListenAddress) -> bool {
    let socket = address.socket_addr();
    socket.is_some_and(|socket| !socket.ip().to_canonical().is_loopback())
}

/// The faults of an address, each with its remedy.
fn missing(profile: &Profile, address: &ListenAddress) -> Vec<&'static str> {
    let (server, tls) = (&profile.server, &profile.tls);
    let has_certificates = tls.client_certificates == ClientCertificates::Required;
    // An access file without authentication says so: mode = "none".
    let is_authenticated = server.access_file.is_some()
        || address.tls && has_certificates
        || server.public_without_auth;
    let mut missing = Vec::new();
    if !is_authenticated {
        missing.push(NO_AUTHENTICATION);
    }
    if !address.tls && !server.behind_tls_proxy {
        missing.push(NO_TLS);
    }
    if address.binding != Binding::Lines && server.allowed_hosts.is_empty() {
        missing.push(NO_HOSTS);
    }
    missing
}

const NO_AUTHENTICATION: &str = "authenticates nobody: start with --config corelane.toml \
     (docs/access.md), or let everyone in with public_without_auth = true under [server] of the \
     profile";
const NO_TLS: &str = "is not encrypted: listen on https://, wss:// or tcps:// with [tls] in the \
     profile, or set behind_tls_proxy = true under [server] of the profile if a proxy in front \
     terminates TLS";
const NO_HOSTS: &str = "takes any Host, so pages reach it through DNS rebinding: name the hosts \
     that clients use with --allow-host, or in allowed_hosts under [server] of the profile";

#[cfg(test)]
mod tests {
    use super::{NO_AUTHENTICATION, NO_HOSTS, NO_TLS, missing};
    use crate::profile::{ClientCertificates, ListenAddress, Profile};

    #[track_caller]
    fn check(address: &str, change: impl FnOnce(&mut Profile), expected: &[&str]) {
        let mut profile = Profile::default();
        let address: ListenAddress = address.parse().expect("an address");
        profile.server.listen = vec![address.clone()];
        change(&mut profile);
        let is_public = super::is_public(&address);
        assert_eq!(
            super::check(&profile).is_ok(),
            !is_public || expected.is_empty()
        );
        if is_public {
            assert_eq!(missing(&profile, &address), expected, "{address}");
        } else {
            assert!(expected.is_empty(), "{address} is not public");
        }
    }

    #[test]
    fn loopback_and_unix_sockets_need_nothing() {
        for address in [
            "127.0.0.1:0",
            "127.9.9.9:1",
            "[::1]:0",
            "[::ffff:127.0.0.1]:1",
            "tcp://127.0.0.1:0",
            "unix:///run/corelane",
            "http+unix://@corelane",
        ] {
            check(address, |_| (), &[]);
        }
    }

    #[test]
    fn a_public_address_needs_authentication_encryption_and_hosts() {
        let all = [NO_AUTHENTICATION, NO_TLS, NO_HOSTS];
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.5:1", "ws://10.0.0.5:1"] {
            check(address, |_| (), &all);
        }
        let some = [NO_AUTHENTICATION, NO_HOSTS];
        check("https://10.0.0.5:1", |_| (), &some);
        check("tcp://10.0.0.5:1", |_| (), &all[..2]);
        check("tcps://10.0.0.5:1", |_| (), &all[..1]);
    }

    #[test]
    fn each_need_has_its_remedies() {
        let safe = |profile: &mut Profile| {
            profile.server.access_file = Some("corelane.toml".into());
            profile.server.behind_tls_proxy = true;
            profile.server.allowed_hosts = vec!["mcp.example.com".to_owned()];
        };
        check("0.0.0.0:1", safe, &[]);
        let open = |profile: &mut Profile| {
            safe(profile);
            profile.server.access_file = None;
            profile.server.public_without_auth = true;
        };
        check("0.0.0.0:1", open, &[]);
        let certified = |profile: &mut Profile| {
            safe(profile);
            profile.server.access_file = None;
            profile.tls.client_certificates = ClientCertificates::Required;
        };
        check("https://0.0.0.0:1", certified, &[]);
        // Behind a proxy the certificate is that of the proxy.
        check("0.0.0.0:1", certified, &[NO_AUTHENTICATION]);
        let header = |profile: &mut Profile| {
            safe(profile);
            profile.server.access_file = None;
            profile.server.principal_header = Some("x-user".to_owned());
        };
        check("0.0.0.0:1", header, &[NO_AUTHENTICATION]);
    }
}
