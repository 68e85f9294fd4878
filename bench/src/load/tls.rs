//! TLS 1.3 of one connection, without its socket: records in, plaintext out, and back (RFC 8446).
//!
//! Records are opened in the buffer that they were received into, and each request is sealed as one
//! record. It deliberately lacks ALPN, certificates of clients, and a close_notify at the end:
//! a run that is over has no further use for its connections.

use super::error::LoadError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Bytes that protection adds to a record: header, type and tag (RFC 8446 5.2).
const OVERHEAD_BYTES: usize = 22;

/// The settings that all connections of a run share.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsSettings {
    /// For a server called `host`. Its certificate is checked with the authorities in `ca_file`,
    /// or, without one, not at all. With `resumes` a connection uses the keys of an earlier one.
    ///
    /// # Errors
    /// The host is no name of a certificate, or the file has no authority.
    pub fn new(
        host: &str,
        ca_file: Option<&Path>,
        resumes: bool,
    ) -> Result<TlsSettings, LoadError> {
        let usage = |error: &dyn std::fmt::Display| LoadError::Usage(format!("TLS: {error}"));
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| usage(&error))?;
        let builder = match ca_file {
            Some(path) => builder.with_root_certificates(read_authorities(path)?),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
        };
        let mut config = builder.with_no_client_auth();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(TlsSettings {
            config: Arc::new(config),
            name: ServerName::try_from(host.to_owned()).map_err(|error| usage(&error))?,
        })
    }

    /// Begins a connection, and appends its first bytes to `out`.
    ///
    /// # Errors
    /// The settings are of no use.
    pub fn connection(&self, out: &mut Vec<u8>) -> Result<Tls, rustls::Error> {
        let config = Arc::clone(&self.config);
        let mut connection = UnbufferedClientConnection::new(config, self.name.clone())?;
        process(&mut connection, &mut [], &mut Vec::new(), out)?;
        Ok(Tls {
            connection,
            unread: Vec::new(),
        })
    }
}

/// One connection.
pub struct Tls {
    connection: UnbufferedClientConnection,
    /// An incomplete record.
    unread: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Takes received bytes. Appends their plaintext to `plaintext`, and bytes for the server to
    /// `out`, also when it fails. Returns whether the handshake is over.
    ///
    /// # Errors
    /// The connection is of no further use once `out` is sent.
    pub fn take(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        if self.unread.is_empty() {
            let used = process(&mut self.connection, bytes, plaintext, out)?;
            self.unread.extend_from_slice(&bytes[used..]);
        } else {
            self.unread.extend_from_slice(bytes);
            let used = process(&mut self.connection, &mut self.unread, plaintext, out)?;
            self.unread.drain(..used);
        }
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(!self.connection.is_handshaking())
    }

    /// Appends the pending records of rustls to `out`, and `plaintext` as a record. After a failure
    /// it appends nothing.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        loop {
            let status = self.connection.process_tls_records(&mut self.unread);
            match status.state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(out, |space| data.encode(space));
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = out.len();
                    out.resize(start + plaintext.len() + OVERHEAD_BYTES, 0);
                    let mut sealed = traffic.encrypt(plaintext, &mut out[start..]);
                    if let Err(EncryptError::InsufficientSize(needed)) = sealed {
                        out.resize(start + needed.required_size, 0);
                        sealed = traffic.encrypt(plaintext, &mut out[start..]);
                    }
                    return out.truncate(start + sealed.unwrap_or(0));
                }
                _ => return,
            }
        }
    }
}

/// Opens the whole records in `input`; returns the bytes used.
fn process(
    connection: &mut UnbufferedClientConnection,
    input: &mut [u8],
    plaintext: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<usize, rustls::Error> {
    let mut used = 0;
    loop {
        let status = connection.process_tls_records(&mut input[used..]);
        let UnbufferedStatus { mut discard, state } = status;
        let mut is_done = false;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plaintext.extend_from_slice(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                append(out, |space| data.encode(space));
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            // The end of the byte stream follows.
            Ok(ConnectionState::PeerClosed) => {}
            Ok(_) => is_done = true,
            Err(error) => {
                // The alert that says so.
                while connection.wants_write() {
                    let status = connection.process_tls_records(&mut []);
                    if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state {
                        append(out, |space| data.encode(space));
                    }
                }
                return Err(error);
            }
        }
        used += discard;
        if is_done {
            return Ok(used);
        }
    }
}

/// Appends bytes for the server, which are encoded into space of the size that they need.
fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(needed)) = encode(&mut []) {
        out.resize(start + needed.required_size, 0);
        let written = encode(&mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, LoadError> {
    let unusable = |error: &dyn std::fmt::Display| {
        LoadError::Usage(format!("--ca-file {}: {error}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let authority = authority.map_err(|error| unusable(&error))?;
        roots.add(authority).map_err(|error| unusable(&error))?;
    }
    match roots.is_empty() {
        true => Err(unusable(&"it has no certificate in PEM")),
        false => Ok(roots),
    }
}

/// Takes any certificate. The server still proves that it has the key, so that a handshake costs
/// as much as for other clients.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
