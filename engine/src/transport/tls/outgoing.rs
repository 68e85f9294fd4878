//! TLS of connections to other servers, without I/O: ciphertext in, plaintext out, and back (RFC
//! 8446, RFC 5246).
//!
//! rustls does all of it, records included: such connections are few, so that the memory of its
//! buffers matters little. It deliberately lacks data in the first flight (0-RTT), which a third
//! party could send again.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore};

use super::certificates::{TlsError, read_chain, read_key};
use crate::profile::CertificateFiles;

/// The only protocol that is offered by ALPN (RFC 7301 6).
const HTTP_1_1: &[u8] = b"http/1.1";
/// Earlier connections of a shard to one server whose keys are kept.
const TICKETS_MAX: usize = 16;

/// The settings of connections to one server.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// One connection. It has to be read to its announced end: without that, an answer may have been
/// cut (RFC 8446 6.1).
#[derive(Debug)]
pub(crate) struct OutgoingSession {
    connection: ClientConnection,
    is_closed: bool,
}

impl OutgoingTls {
    /// For the server called `host`: an authority in `ca_files` has signed its certificate, or,
    /// without files, one that this system trusts. It gets `certificate`, if it requests one.
    ///
    /// # Errors
    /// The file at fault, or the remedy.
    pub(crate) fn read(
        host: &str,
        ca_files: &[PathBuf],
        certificate: Option<&CertificateFiles>,
    ) -> Result<OutgoingTls, TlsError> {
        let setup = |error: &dyn std::fmt::Display| TlsError::Setup(error.to_string());
        let roots = match ca_files.is_empty() {
            true => system_roots()?,
            false => read_roots(ca_files)?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(&error))?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = read_chain(&files.certificate_file)?;
                let key = read_key(&files.key_file)?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|error| TlsError::Unusable {
                    files: files.clone(),
                    error,
                })?
            }
        };
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        // Without it a third party can give two connections of TLS 1.2 the same keys (RFC 7627 1).
        config.require_ems = true;
        let name = ServerName::try_from(host.to_owned());
        Ok(OutgoingTls {
            config: Arc::new(config),
            name: name.map_err(|error| setup(&format!("{host:?}: {error}")))?,
        })
    }

    /// The same settings for another shard, which shares no keys of connections with this one.
    pub(crate) fn of_shard(&self) -> OutgoingTls {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        OutgoingTls {
            config: Arc::new(config),
            name: self.name.clone(),
        }
    }

    /// Begins a connection: [`OutgoingSession::take_output`] has its first bytes.
    ///
    /// # Errors
    /// The settings are of no use, which is our own fault.
    pub(crate) fn connect(&self) -> Result<OutgoingSession, Error> {
        let config = Arc::clone(&self.config);
        let mut connection = ClientConnection::new(config, self.name.clone())?;
        // A request has a bound of its own.
        connection.set_buffer_limit(None);
        Ok(OutgoingSession {
            connection,
            is_closed: false,
        })
    }
}

impl OutgoingSession {
    /// Reads bytes of the server, and appends their plaintext to `out`.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub(crate) fn read(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        // Bytes after the end are ignored (RFC 8446 6.1).
        while !bytes.is_empty() && !self.is_closed {
            let taken = self.connection.read_tls(&mut bytes);
            taken.map_err(|error| Error::General(error.to_string()))?;
            let state = self.connection.process_new_packets()?;
            self.is_closed = state.peer_has_closed();
            let start = out.len();
            out.resize(start + state.plaintext_bytes_to_read(), 0);
            let read = self.connection.reader().read_exact(&mut out[start..]);
            read.map_err(|error| Error::General(error.to_string()))?;
        }
        Ok(())
    }

    /// Protects bytes for the server, after the handshake.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub(crate) fn write(&mut self, plaintext: &[u8]) -> Result<(), Error> {
        let written = self.connection.writer().write_all(plaintext);
        written.map_err(|error| Error::General(error.to_string()))
    }

    /// Appends the bytes that are to be sent to `out`.
    pub(crate) fn take_output(&mut self, out: &mut Vec<u8>) {
        // Memory takes all of them.
        while self.connection.wants_write() && self.connection.write_tls(out).is_ok() {}
    }

    /// Whether the handshake goes on.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the server has announced that it sends no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

/// The authorities that this system trusts, which are read once.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    match roots.is_empty() {
        true => Err(TlsError::NoAuthority),
        false => Ok(Arc::clone(roots)),
    }
}

/// The authorities in files.
pub(super) fn read_roots(ca_files: &[PathBuf]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in ca_files {
        for authority in read_chain(path)? {
            roots.add(authority).map_err(|error| TlsError::Authority {
                path: path.clone(),
                error,
            })?;
        }
    }
    Ok(Arc::new(roots))
}
