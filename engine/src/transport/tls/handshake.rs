//! The handshake, one step for each batch of bytes from the peer.
//!
//! A step takes up to milliseconds: it agrees on a key, signs, and verifies the certificate of a
//! client. So it is made to run on another thread than the shard's: it owns everything that it
//! uses.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};

use super::fault::Fault;
use super::identity::{ClientCertificate, IdentityError};
use super::record::{HEADER_BYTES, PLAINTEXT_BYTES_MAX, RECORD_BYTES_MAX};
use super::session::Session;

/// The most bytes that wait for the rest of their record or message: those of the longest message
/// that rustls takes (64 KiB), in records of a usual size.
pub(crate) const INPUT_BYTES_MAX: usize = 80 << 10;

/// The alert for a record that is too long, without protection.
const RECORD_OVERFLOW: [u8; 7] = [21, 3, 3, 0, 2, 2, 22];

/// A connection before its first byte of application data.
pub(crate) struct Handshake {
    connection: UnbufferedServerConnection,
    /// The bytes of the input that rustls has seen: those of a message whose other records are
    /// missing stay there, as it keeps no copy. It sees one record after the other, so that it does
    /// not open those behind the handshake.
    seen: usize,
    /// Something was sent, and with it the keys began.
    is_answered: bool,
    clock: Arc<dyn TimeProvider>,
}

/// The result of a step.
pub(crate) enum Step {
    /// More bytes of the peer are needed.
    Blocked(Box<Handshake>),
    /// The connection is established.
    Established(Box<Established>),
    /// The peer ended the connection.
    Closed,
}

/// A connection after its handshake.
pub(crate) struct Established {
    pub(crate) session: Session,
    /// The principal that the certificate of the client names.
    pub(crate) client: Option<ClientCertificate>,
    /// The keys are those of an earlier connection.
    pub(crate) is_resumed: bool,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The peer's fault, or its refusal of the server's certificate.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    /// The certificate of the client was verified, and has no name.
    #[error("the client's certificate: {0}")]
    Identity(#[from] IdentityError),
    /// The peer's fault: it sends more and more, and no whole message.
    #[error("more than {INPUT_BYTES_MAX} bytes without a whole message")]
    TooLong,
    /// The peer's fault: a record without protection that is longer than one may be, which rustls
    /// takes.
    #[error("a record of more than {PLAINTEXT_BYTES_MAX} bytes without protection")]
    Overlong,
    /// Our own fault.
    #[error("{0}")]
    Session(#[from] Fault),
}

impl Handshake {
    /// Begins a handshake.
    ///
    /// # Errors
    /// The configuration is of no use, which is our own fault.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Box<Handshake>, HandshakeError> {
        let clock = Arc::clone(&config.time_provider);
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Box::new(Handshake {
            connection,
            seen: 0,
            is_answered: false,
            clock,
        }))
    }

    /// Handles the bytes in `input` and removes those that were used; the others are to be there in
    /// the next step, before new ones. Those of an established connection are records. Appends
    /// bytes for the peer to `out`, also when it fails.
    ///
    /// # Errors
    /// The connection is of no further use, once `out` is sent.
    pub(crate) fn advance(
        mut self: Box<Self>,
        input: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Step, HandshakeError> {
        loop {
            let unseen = &input[self.seen..];
            if is_overlong(unseen) {
                if !self.is_answered {
                    out.extend_from_slice(&RECORD_OVERFLOW);
                }
                return Err(HandshakeError::Overlong);
            }
            match next_record_bytes(unseen) {
                Some(bytes) => self.seen += bytes,
                None if input.len() > INPUT_BYTES_MAX => return Err(HandshakeError::TooLong),
                None => return Ok(Step::Blocked(self)),
            }
            if !self.handle_seen(input, out)? {
                return Ok(Step::Closed);
            }
            if !self.connection.is_handshaking() {
                return self.establish(out);
            }
        }
    }

    /// Handles what rustls has seen, until it needs another record. Returns whether the connection
    /// goes on.
    fn handle_seen(
        &mut self,
        input: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<bool, HandshakeError> {
        loop {
            let input_seen = &mut input[..self.seen];
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(input_seen);
            let mut goes_on = None;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    self.is_answered = true;
                    append(out, |space| data.encode(space));
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => goes_on = Some(false),
                Ok(_) => goes_on = Some(true),
                Err(error) => {
                    self.append_alert(out);
                    return Err(error.into());
                }
            }
            input.drain(..discard);
            self.seen -= discard;
            if let Some(goes_on) = goes_on {
                return Ok(goes_on);
            }
        }
    }

    /// Appends the alert of the error that just occurred.
    fn append_alert(&mut self, out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state {
                append(out, |space| data.encode(space));
            }
        }
    }

    fn establish(self, out: &mut Vec<u8>) -> Result<Step, HandshakeError> {
        let connection = self.connection;
        let is_resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let mut client = certificate
            .map(|it| ClientCertificate::read(it))
            .transpose();
        if is_resumed {
            // A ticket may outlive the certificate, which was verified when it was issued.
            let now_s = self
                .clock
                .current_time()
                .map_or(u64::MAX, |it| it.as_secs());
            client = client.and_then(|it| it.map(|it| it.still_valid(now_s)).transpose());
        }
        let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
        let mut session = Session::new(secrets, keys);
        let client = client.inspect_err(|error| {
            session.fail(error.fault(), out);
        })?;
        Ok(Step::Established(Box::new(Established {
            session,
            client,
            is_resumed,
        })))
    }
}

/// Whether the next record has no protection, and more bytes than one may (RFC 8446 5.1).
fn is_overlong(input: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    let header = input.first_chunk::<HEADER_BYTES>();
    header.is_some_and(|&[kind, _, _, high, low]| {
        kind == HANDSHAKE && usize::from(u16::from_be_bytes([high, low])) > PLAINTEXT_BYTES_MAX
    })
}

/// The bytes of the next record, if it is whole; of what is no record, all bytes.
fn next_record_bytes(input: &[u8]) -> Option<usize> {
    /// The types from change_cipher_spec to application_data (RFC 8446 5.1).
    const TYPES: RangeInclusive<u8> = 20..=23;
    let (&[kind, _, _, high, low], rest) = input.split_first_chunk::<HEADER_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !TYPES.contains(&kind) || HEADER_BYTES + length > RECORD_BYTES_MAX {
        return Some(input.len());
    }
    (length <= rest.len()).then_some(HEADER_BYTES + length)
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
