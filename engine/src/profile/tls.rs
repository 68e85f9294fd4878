//! Knobs of listeners with TLS.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check;
use super::error::ProfileError;
use super::knobs::{Value, anything, knobs, within};

/// Most entries of `tls.certificates` and of `tls.client_ca_files`.
pub const TLS_FILES_MAX: usize = 64;

knobs! {
    /// Listeners with TLS: `https://`, `wss://` and `tcps://` addresses of `server.listen`.
    Tls as "tls" {
        /// The certificates, at most 64, each a table of `certificate_file`, the PEM file with the
        /// certificate and those that lead to its authority, and `key_file`. A client gets the
        /// first one with the name that it requests and a key that it can verify, else the first
        /// one. Files are read again when they change. Relative paths start at the working
        /// directory of the process.
        certificates: Vec<CertificateFiles> = Vec::new(), anything(), restart;
        /// The oldest version of TLS that clients may use: "1.3", or "1.2" for those that lack 1.3,
        /// with AEAD ciphers, forward secrecy and the extended master secret, and without
        /// renegotiation. TLS 1.2 shows certificates to anyone on the way.
        min_version: TlsVersion = TlsVersion::Tls13, anything(), restart;
        /// Whether clients present a certificate: "off", "optional" or "required". The principal of
        /// a client is a name in its certificate, such as "tls:uri=spiffe://example.org/agent".
        client_certificates: ClientCertificates = ClientCertificates::Off, anything(), restart;
        /// Files with the certificates of the authorities that sign those of clients, at most 64.
        client_ca_files: Vec<PathBuf> = Vec::new(), anything(), restart;
        /// Milliseconds from the acceptance of a connection to the end of its handshake: five
        /// round trips of a bad network.
        handshake_timeout_ms: u64 = 5000, within(100..=600_000), next;
        /// Handshakes of a shard under way at once, some 30 KiB each and up to 80 KiB more for a
        /// client that sends the longest first message. One more ends the oldest one of the address
        /// with the most: a client that finishes none of its handshakes ends its own.
        handshakes_max: usize = 1024, within(1..=65_536), restart;
        /// Threads that do the handshakes of all shards; default one for two shards: each does some
        /// 5000 a second, or 2500 with RSA keys of 2048 bits.
        handshake_threads: Option<usize> = None, within(1..=256), restart;
    }
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate of the server and then those that lead to its authority, in PEM.
    pub certificate_file: PathBuf,
    /// The private key, in PEM. Only its owner may read the file.
    pub key_file: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[default]
    #[serde(rename = "1.3")]
    Tls13,
}

/// Whether clients present a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// None is requested.
    #[default]
    Off,
    /// One is requested; a client without one is anonymous.
    Optional,
    /// A client without one is refused.
    Required,
}

impl Value for Vec<CertificateFiles> {}
impl Value for TlsVersion {}
impl Value for ClientCertificates {}

/// The knobs of `[tls]` that a shard needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsLimits {
    /// See [`Tls::handshake_timeout_ms`].
    pub handshake_timeout_ms: u64,
    /// See [`Tls::handshakes_max`].
    pub handshakes_max: usize,
}

impl Tls {
    /// The knobs that a shard needs.
    pub(super) fn limits(&self) -> TlsLimits {
        TlsLimits {
            handshake_timeout_ms: self.handshake_timeout_ms,
            handshakes_max: self.handshakes_max,
        }
    }

    /// Threads that do the handshakes of `shards` shards.
    #[must_use]
    pub fn threads_for(&self, shards: usize) -> usize {
        self.handshake_threads.unwrap_or(shards.div_ceil(2))
    }

    /// Each optional knob has a value.
    #[cfg(test)]
    pub(super) fn complete() -> Tls {
        Tls {
            handshake_threads: Some(1),
            ..Tls::default()
        }
    }

    /// The lists are bounded, and clients that present certificates have an authority.
    pub(super) fn check_lists(&self) -> Result<(), ProfileError> {
        let lists = [
            ("tls.certificates entries", self.certificates.len()),
            ("tls.client_ca_files entries", self.client_ca_files.len()),
        ];
        for (key, length) in lists {
            check::count(key, length, TLS_FILES_MAX)?;
        }
        let requests_any = self.client_certificates != ClientCertificates::Off;
        match requests_any == self.client_ca_files.is_empty() {
            true => Err(ProfileError::ClientAuthorities { requests_any }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::profile::Profile;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = Profile::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn client_certificates_need_an_authority_and_the_reverse() {
        let required = "[tls]\nclient_certificates = \"required\"\n";
        let authority = "client_ca_files = [\"ca.pem\"]\n";
        Profile::from_toml(&format!("{required}{authority}")).unwrap();
        refused(
            required,
            "name the authorities of clients in client_ca_files",
        );
        let off = format!("[tls]\n{authority}");
        refused(
            &off,
            "set client_certificates to \"required\" or \"optional\"",
        );
    }

    #[test]
    fn versions_before_1_2_are_refused() {
        Profile::from_toml("[tls]\nmin_version = \"1.2\"\n").unwrap();
        let expected = "unknown variant `1.1`, expected `1.2` or `1.3`";
        refused("[tls]\nmin_version = \"1.1\"\n", expected);
    }

    #[test]
    fn a_certificate_has_two_files_and_lists_are_bounded() {
        let entry = "{ certificate_file = \"chain.pem\", key_file = \"key.pem\" }";
        let list = |entries| format!("[tls]\ncertificates = [{}]", vec![entry; entries].join(","));
        Profile::from_toml(&list(64)).unwrap();
        refused(
            &list(65),
            "tls.certificates entries = 65 is outside the allowed range 0 to 64",
        );
        refused(
            "[tls]\ncertificates = [{ certificate_file = \"chain.pem\" }]",
            "missing field `key_file`",
        );
    }
}
