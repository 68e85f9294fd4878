//! An established connection with TLS: records in, plaintext out, and back.
//!
//! rustls makes the keys, in the handshake and whenever a peer renews them; the records are opened
//! and sealed here, in the buffers of the shard. So an idle connection keeps the keys and nothing
//! else: no buffer, and no cipher once [`Session::shed`] was called.
//!
//! After the handshake a peer may send application data, alerts, and KeyUpdate messages (RFC 8446
//! 4.6). Anything else ends the connection: there is no renegotiation, and no certificate is
//! requested later. In TLS 1.2 a key is never renewed: the connection ends with it.

use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ExtractedSecrets, SupportedCipherSuite};

use super::fault::Fault;
use super::record::{Content, Direction, OVERHEAD_BYTES, PLAINTEXT_BYTES_MAX};

/// Records in a row without data that a peer may send: a peer that renews its keys, or pads, sends
/// data as well.
const RECORDS_WITHOUT_DATA_MAX: u8 = 32;
/// The length of a KeyUpdate message, and its parts (RFC 8446 4.6.3).
const KEY_UPDATE_BYTES: usize = 5;
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];
/// Records that are left to a key when it is renewed: those of one output, and the renewal.
const RENEWAL_MARGIN: u64 = 1 << 20;

/// The levels of alerts. Of those that are sent, close_notify and no_renegotiation are warnings.
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// An established connection.
pub(crate) struct Session {
    rx: Direction,
    tx: Direction,
    /// Renews the keys.
    keys: KernelConnection<ServerConnectionData>,
    /// The start of a KeyUpdate message; the rest is in the next record.
    message: [u8; KEY_UPDATE_BYTES],
    message_bytes: u8,
    records_without_data: u8,
    /// The peer wants the keys for its direction renewed.
    owes_key_update: bool,
    /// The peer sends no more.
    is_read_closed: bool,
    /// No more is sent.
    is_write_closed: bool,
}

/// The content of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened<'a> {
    /// Plaintext.
    Data(&'a mut [u8]),
    /// Nothing for the layer above.
    Nothing,
    /// The peer sends no more.
    Closed,
}

impl Session {
    pub(super) fn new(
        secrets: ExtractedSecrets,
        keys: KernelConnection<ServerConnectionData>,
    ) -> Session {
        let version = keys.protocol_version();
        Session {
            rx: Direction::new(version, secrets.rx),
            tx: Direction::new(version, secrets.tx),
            keys,
            message: [0; KEY_UPDATE_BYTES],
            message_bytes: 0,
            records_without_data: 0,
            owes_key_update: false,
            is_read_closed: false,
            is_write_closed: false,
        }
    }

    /// The bytes of the record at the start of `bytes`, its header included; `None` while its
    /// header is not whole.
    ///
    /// # Errors
    /// It is no record that may follow a handshake, or longer than one may be.
    pub(crate) fn record_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        self.rx.record_bytes(bytes)
    }

    /// Opens a whole record in place.
    ///
    /// # Errors
    /// The connection is of no further use: [`Session::fail`] comes next.
    pub(crate) fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<Opened<'a>, Fault> {
        // Bytes after the end are ignored (RFC 8446 6.1).
        if self.is_read_closed {
            return Ok(Opened::Closed);
        }
        let (content, bytes) = self.rx.open(record)?;
        let unexpected = |text| Fault::new(AlertDescription::UnexpectedMessage, text);
        if content != Content::Handshake && self.message_bytes > 0 {
            return Err(unexpected("a record between the parts of a message"));
        }
        if content == Content::ApplicationData && !bytes.is_empty() {
            self.records_without_data = 0;
            return Ok(Opened::Data(bytes));
        }
        self.records_without_data += 1;
        if self.records_without_data > RECORDS_WITHOUT_DATA_MAX {
            return Err(unexpected("too many records without data"));
        }
        match content {
            Content::ApplicationData => Ok(Opened::Nothing),
            Content::Alert => self.take_alert(bytes),
            Content::Handshake => self.take_message(bytes),
        }
    }

    fn take_alert(&mut self, bytes: &[u8]) -> Result<Opened<'static>, Fault> {
        let &[level, description] = bytes else {
            let alert = match bytes {
                // RFC 8446 5.4.
                [] => AlertDescription::UnexpectedMessage,
                _ => AlertDescription::DecodeError,
            };
            return Err(Fault::new(alert, "an alert that is malformed"));
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => {
                self.is_read_closed = true;
                Ok(Opened::Closed)
            }
            AlertDescription::UserCanceled => Ok(Opened::Nothing),
            _ if self.rx.is_tls12() && level == WARNING => Ok(Opened::Nothing),
            // All others are fatal (RFC 8446 6).
            _ => Err(Fault::reported()),
        }
    }

    fn take_message(&mut self, bytes: &[u8]) -> Result<Opened<'static>, Fault> {
        let unexpected = |text| Fault::new(AlertDescription::UnexpectedMessage, text);
        if bytes.is_empty() {
            return Err(unexpected("a handshake record without content"));
        }
        if self.rx.is_tls12() {
            let alert = AlertDescription::NoRenegotiation;
            return Err(Fault::new(alert, "a renegotiation"));
        }
        let at = usize::from(self.message_bytes);
        let taken = bytes.len().min(KEY_UPDATE_BYTES - at);
        self.message[at..at + taken].copy_from_slice(&bytes[..taken]);
        let known = at + taken;
        if self.message[0] != KEY_UPDATE[0] {
            return Err(unexpected("a handshake message after the handshake"));
        }
        if known >= KEY_UPDATE.len() && self.message[..KEY_UPDATE.len()] != KEY_UPDATE {
            let alert = AlertDescription::DecodeError;
            return Err(Fault::new(alert, "a KeyUpdate of another length"));
        }
        self.message_bytes = known as u8;
        if known < KEY_UPDATE_BYTES {
            return Ok(Opened::Nothing);
        }
        // The next message has the next key, so that it cannot be in this record.
        if taken < bytes.len() {
            return Err(unexpected("a message behind a KeyUpdate in one record"));
        }
        self.message_bytes = 0;
        match self.message[KEY_UPDATE.len()] {
            0 => {}
            1 => self.owes_key_update = true,
            _ => {
                let alert = AlertDescription::IllegalParameter;
                return Err(Fault::new(alert, "a KeyUpdate with an unknown request"));
            }
        }
        self.rx = Direction::new(self.keys.protocol_version(), self.keys.update_rx_secret()?);
        Ok(Opened::Nothing)
    }

    /// Whether something is to be sent without plaintext: [`Session::seal`] does it.
    pub(crate) fn has_output(&self) -> bool {
        self.owes_key_update && !self.is_write_closed
    }

    /// The bytes that `plaintext_bytes` bytes take when they are sealed.
    pub(crate) fn sealed_bytes(plaintext_bytes: usize) -> usize {
        /// The end of the connection, or the renewal of a key.
        const FURTHER_RECORDS: usize = 2;
        let records = plaintext_bytes.div_ceil(PLAINTEXT_BYTES_MAX) + FURTHER_RECORDS;
        plaintext_bytes + records * OVERHEAD_BYTES + KEY_UPDATE_BYTES
    }

    /// Appends `plaintext` to `out` as records. After [`Session::close`] it is dropped.
    ///
    /// # Errors
    /// A fault of our own.
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.is_write_closed {
            return Ok(());
        }
        if self.owes_key_update || self.is_renewal_due() {
            self.renew(out)?;
        }
        for part in plaintext.chunks(PLAINTEXT_BYTES_MAX) {
            self.tx.seal(Content::ApplicationData, part, out)?;
        }
        Ok(())
    }

    /// Whether the key for sending has protected nearly as many records as it may (RFC 8446 5.5).
    fn is_renewal_due(&self) -> bool {
        let limit = match self.keys.negotiated_cipher_suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        self.tx.sequence() >= limit.saturating_sub(RENEWAL_MARGIN)
    }

    /// Announces the next key for sending, and goes on with it.
    fn renew(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.tx.is_tls12() {
            return Err(Fault::internal("a key of TLS 1.2 cannot be renewed"));
        }
        let mut message = [0; KEY_UPDATE_BYTES];
        message[..KEY_UPDATE.len()].copy_from_slice(&KEY_UPDATE);
        self.tx.seal(Content::Handshake, &message, out)?;
        self.tx = Direction::new(self.keys.protocol_version(), self.keys.update_tx_secret()?);
        self.owes_key_update = false;
        Ok(())
    }

    /// Ends the direction to the peer: appends close_notify to `out`, once.
    ///
    /// # Errors
    /// A fault of our own.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.send_alert(AlertDescription::CloseNotify, out)
    }

    /// Ends both directions for a fault: appends its alert to `out`, if it has one.
    pub(crate) fn fail(&mut self, fault: Fault, out: &mut Vec<u8>) {
        self.is_read_closed = true;
        match fault.alert() {
            // There is nothing left to report a second fault to.
            Some(alert) => _ = self.send_alert(alert, out),
            None => self.is_write_closed = true,
        }
    }

    fn send_alert(&mut self, alert: AlertDescription, out: &mut Vec<u8>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.is_write_closed, true) {
            return Ok(());
        }
        let level = match alert {
            AlertDescription::CloseNotify | AlertDescription::NoRenegotiation => WARNING,
            _ => FATAL,
        };
        self.tx.seal(Content::Alert, &[level, alert.into()], out)
    }

    /// Whether the peer sends no more.
    pub(crate) fn is_read_closed(&self) -> bool {
        self.is_read_closed
    }

    /// Whether no more is sent.
    pub(crate) fn is_write_closed(&self) -> bool {
        self.is_write_closed
    }

    /// Sends as after so many records.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, sequence: u64) {
        self.tx.skip_to(sequence);
    }

    /// Frees the ciphers of an idle connection.
    pub(crate) fn shed(&mut self) {
        self.rx.shed();
        self.tx.shed();
    }
}
