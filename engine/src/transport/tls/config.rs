//! The configuration of handshakes, and its replacement while the server runs.
//!
//! A replacement is made as a whole and then swapped: a handshake sees one configuration, and
//! established connections have no further use for theirs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificates::{Certificates, TlsError};
use super::outgoing::read_roots;
use crate::profile::{ClientCertificates, Tls, TlsVersion};

/// The only protocol that is offered by ALPN: WebSocket and MCP begin in it (RFC 7301 6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// Bytes of refused data in the first flight of a client that are skipped: three records of the
/// largest size, each of which rustls counts again with each record behind it.
const SKIPPED_BYTES_MAX: u32 = 256 << 10;

/// The configuration of the present, shared by all shards.
#[derive(Debug)]
pub(crate) struct TlsSource {
    /// Rises with each replacement.
    version: AtomicU64,
    current: Mutex<Arc<ServerConfig>>,
}

/// A configuration that was read and is not in use yet.
#[derive(Debug)]
pub(crate) struct NextTls(Arc<ServerConfig>);

/// A shard's view of a [`TlsSource`].
#[derive(Debug, Clone)]
pub(crate) struct TlsView {
    source: Arc<TlsSource>,
    version: u64,
    current: Arc<ServerConfig>,
}

impl TlsSource {
    /// Reads the files that `tls` names.
    ///
    /// # Errors
    /// The file at fault, and the remedy.
    pub(crate) fn read(tls: &Tls) -> Result<Arc<TlsSource>, TlsError> {
        let config = read_config(tls, None)?;
        Ok(Arc::new(TlsSource {
            version: AtomicU64::new(0),
            current: Mutex::new(Arc::new(config)),
        }))
    }

    /// Reads the files again, for handshakes from now on.
    ///
    /// # Errors
    /// The file at fault. The configuration stays as it was.
    pub(crate) fn reload(&self, tls: &Tls) -> Result<(), TlsError> {
        self.replace(self.prepare(tls)?);
        Ok(())
    }

    /// Reads the files again for [`TlsSource::replace`].
    ///
    /// # Errors
    /// The file at fault.
    pub(crate) fn prepare(&self, tls: &Tls) -> Result<NextTls, TlsError> {
        let current = Arc::clone(&self.lock());
        Ok(NextTls(Arc::new(read_config(tls, Some(&current))?)))
    }

    /// Uses this configuration for handshakes from now on.
    pub(crate) fn replace(&self, NextTls(next): NextTls) {
        *self.lock() = next;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The configuration as a shard sees it.
    pub(crate) fn view(self: &Arc<TlsSource>) -> TlsView {
        let version = self.version.load(Ordering::Acquire);
        TlsView {
            source: Arc::clone(self),
            version,
            current: Arc::clone(&self.lock()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<ServerConfig>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsView {
    /// The newest configuration. It takes a lock only if there is a newer one.
    pub(crate) fn current(&mut self) -> Arc<ServerConfig> {
        if self.source.version.load(Ordering::Acquire) != self.version {
            *self = self.source.view();
        }
        Arc::clone(&self.current)
    }
}

/// Reads the files. Tickets of the configuration `before` stay valid, unless clients present
/// certificates: a ticket stands for one that was verified then.
fn read_config(tls: &Tls, before: Option<&ServerConfig>) -> Result<ServerConfig, TlsError> {
    let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
    let provider = Arc::new(default_provider());
    let certificates = Certificates::read(&tls.certificates, &provider)?;
    let versions: &[&SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::Tls13 => &[&TLS13],
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(setup)?
        .with_client_cert_verifier(read_verifier(tls)?);
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    // Not a permission: tickets have no state, so that data in the first flight is never taken.
    config.max_early_data_size = SKIPPED_BYTES_MAX;
    // Without it a third party can give two connections of TLS 1.2 the same keys (RFC 7627 1).
    config.require_ems = true;
    // The keys of an established connection are used by `Session`.
    config.enable_secret_extraction = true;
    // Tickets are sealed with keys that all shards share and that change every six hours; no shard
    // keeps a table of sessions.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let keeps = tls.client_certificates == ClientCertificates::Off;
    config.ticketer = match before.filter(|_| keeps) {
        Some(before) => Arc::clone(&before.ticketer),
        None => new_ticketer().map_err(setup)?,
    };
    Ok(config)
}

fn new_ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    Ticketer::new()
}

fn read_verifier(tls: &Tls) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if tls.client_certificates == ClientCertificates::Off {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let roots = read_roots(&tls.client_ca_files)?;
    let provider = Arc::new(default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = match tls.client_certificates {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    let verifier = builder.build();
    verifier.map_err(|error| TlsError::Setup(error.to_string()))
}
