//! TLS 1.3 of a connection: records in, plaintext out, and back, by rustls.
//!
//! Records are opened in the buffer that they were received into. The handshake runs in the loop.
//! Only the bytes that are being sent must stay in place, so there are two buffers of output.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// Bytes that protection adds to a record: header, type and tag (RFC 8446 5.2).
const OVERHEAD_BYTES: usize = 22;

/// Reads a certificate chain and its key, in PEM.
pub(crate) fn read_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| format!("{}: {error}", certificate.display()))?;
    let key_of = PrivateKeyDer::from_pem_file(key);
    let key = key_of.map_err(|error| format!("{}: {error}", key.display()))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    config.map(Arc::new).map_err(|error| error.to_string())
}

/// See the module's text.
pub(crate) struct Secured {
    connection: UnbufferedServerConnection,
    /// An incomplete record.
    unread: Vec<u8>,
    /// Bytes of the handshake to send next.
    pending: Vec<u8>,
    /// The bytes of the last send, which stay in place until all are sent.
    out: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
}

impl Secured {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(config))?,
            unread: Vec::new(),
            pending: Vec::new(),
            out: Vec::new(),
            sent: 0,
        })
    }

    /// Opens records and appends their plaintext to `plaintext`.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub(crate) fn open(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        if self.unread.is_empty() {
            let used = process(&mut self.connection, bytes, plaintext, &mut self.pending)?;
            self.unread.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.unread.extend_from_slice(bytes);
        let input = &mut self.unread;
        let used = process(&mut self.connection, input, plaintext, &mut self.pending)?;
        self.unread.drain(..used);
        Ok(())
    }

    /// Whether all bytes of the last send are sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.out.len()
    }

    /// So many bytes of the last send are sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// The bytes of the last send that are left.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// Begins a send of the bytes of the handshake, and of `plaintext` as a record if there is any.
    ///
    /// # Panics
    /// If bytes of the last send are left: they must stay in place.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) {
        assert!(self.is_sent());
        self.sent = 0;
        self.out.clear();
        std::mem::swap(&mut self.out, &mut self.pending);
        if !plaintext.is_empty() {
            let (connection, unread) = (&mut self.connection, &mut self.unread);
            seal(connection, unread, plaintext, &mut self.out);
        }
    }
}

/// Opens the whole records in `input`; returns the bytes used.
fn process(
    connection: &mut UnbufferedServerConnection,
    input: &mut [u8],
    plaintext: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<usize, rustls::Error> {
    let mut used = 0;
    loop {
        let status = connection.process_tls_records(&mut input[used..]);
        let UnbufferedStatus { mut discard, state } = status;
        let mut is_done = false;
        match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plaintext.extend_from_slice(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut data) => append(out, |space| data.encode(space)),
            ConnectionState::TransmitTlsData(transmit) => transmit.done(),
            // The end of the byte stream follows.
            ConnectionState::PeerClosed => {}
            _ => is_done = true,
        }
        used += discard;
        if is_done {
            return Ok(used);
        }
    }
}

/// Appends the pending records of rustls to `out`, and `plaintext` as a record.
fn seal(
    connection: &mut UnbufferedServerConnection,
    unread: &mut [u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    loop {
        match connection.process_tls_records(unread).state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => append(out, |space| data.encode(space)),
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

/// Appends bytes for the peer, which are encoded into space of the size that they need.
fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(needed)) = encode(&mut []) {
        out.resize(start + needed.required_size, 0);
        let written = encode(&mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    }
}
