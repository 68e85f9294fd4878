//! The certificates of the server: read from their files, and chosen by the name that a client
//! requests.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::identity::dns_names;
use crate::profile::CertificateFiles;

/// The longest PEM file that is read, in bytes: a bundle of all public authorities has 200 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The bits of a file's mode that let others than its owner use it.
const MODE_OF_OTHERS: u32 = 0o077;

/// Why certificates cannot be used. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The profile names no certificate.
    #[error(
        "a listener with TLS needs a certificate: add to [tls] of the profile certificates = \
         [{{ certificate_file = \"chain.pem\", key_file = \"key.pem\" }}]"
    )]
    NoCertificate,
    /// A file cannot be read.
    #[error("TLS file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file is longer than any certificate.
    #[error("TLS file {} exceeds limit of {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner may read a private key.
    #[error(
        "key file {} has mode {mode:03o}, so that others may read it: run chmod 600 {}",
        path.display(),
        path.display()
    )]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file is not PEM, or lacks what it should contain.
    #[error("TLS file {} has no {expected} in PEM: {error}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The kind of content that is missing.
        expected: &'static str,
        /// The parser's error.
        error: pem::Error,
    },
    /// A certificate and its key cannot be used together.
    #[error(
        "certificate file {} and key file {} cannot be used: {error}",
        files.certificate_file.display(),
        files.key_file.display()
    )]
    Unusable {
        /// The two files.
        files: CertificateFiles,
        /// The reason.
        error: rustls::Error,
    },
    /// The certificate of an authority cannot be used.
    #[error("CA file {} cannot be used: {error}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: rustls::Error,
    },
    /// No authority is known for the certificates of servers.
    #[error("this system trusts no authority: give ca_files")]
    NoAuthority,
    /// The settings contradict each other.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// All certificates of the server, in the order of the profile.
#[derive(Debug)]
pub(super) struct Certificates {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Its DNS names in lower case; the first label of a name may be `*`.
    names: Vec<String>,
    certified: Arc<CertifiedKey>,
}

impl Certificates {
    /// Reads the files, of which there is at least one pair.
    pub(super) fn read(
        files: &[CertificateFiles],
        provider: &CryptoProvider,
    ) -> Result<Certificates, TlsError> {
        if files.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let entries = files.iter().map(|files| Entry::read(files, provider));
        Ok(Certificates {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

impl Entry {
    fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Entry, TlsError> {
        let chain = read_chain(&files.certificate_file)?;
        let key = read_key(&files.key_file)?;
        let names = chain.first().map(|it| dns_names(it)).unwrap_or_default();
        // It also checks that the key is that of the certificate.
        let certified = CertifiedKey::from_der(chain, key, provider);
        let certified = certified.map_err(|error| TlsError::Unusable {
            files: files.clone(),
            error,
        })?;
        let certified = Arc::new(certified);
        Ok(Entry { names, certified })
    }

    fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            // It stands for one label (RFC 6125 6.4.3).
            Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => own == name,
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let has_name = |it: &&Entry| name.as_deref().is_some_and(|name| it.has_name(name));
        let can_sign = |it: &&Entry| {
            let schemes = hello.signature_schemes();
            it.certified.key.choose_scheme(schemes).is_some()
        };
        let mut named = self.entries.iter().filter(has_name);
        let entry = named
            .find(can_sign)
            .or_else(|| self.entries.iter().find(can_sign))
            // No handshake succeeds with it, and its error is the right one.
            .or_else(|| self.entries.first());
        entry.map(|entry| Arc::clone(&entry.certified))
    }
}

/// The certificates in a file, at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let malformed = |error| TlsError::Malformed {
        path: path.to_owned(),
        expected: "certificate",
        error,
    };
    let text = read(open(path)?, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain.map_err(malformed)? {
        chain if chain.is_empty() => Err(malformed(pem::Error::NoItemsFound)),
        chain => Ok(chain),
    }
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = open(path)?;
    // Of the file that is read, and not of another one that has its name later.
    let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_OF_OTHERS != 0 {
        let path = path.to_owned();
        return Err(TlsError::LooseMode { path, mode });
    }
    let text = read(file, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::Malformed {
        path: path.to_owned(),
        expected: "private key",
        error,
    })
}

fn open(path: &Path) -> Result<File, TlsError> {
    File::open(path).map_err(|error| unreadable(path, error))
}

fn read(file: File, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
    match read.map_err(|error| unreadable(path, error))? as u64 {
        0..=FILE_BYTES_MAX => Ok(text),
        _ => Err(TlsError::TooLong {
            path: path.to_owned(),
        }),
    }
}

fn unreadable(path: &Path, error: io::Error) -> TlsError {
    TlsError::Unreadable {
        path: path.to_owned(),
        error,
    }
}
