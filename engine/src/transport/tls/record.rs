//! The protection of records: one direction of an established connection (RFC 8446 5.2). That of
//! TLS 1.2 differs in the file `tls12`.
//!
//! A record is opened in the buffer that it was received into, and sealed in the buffer that is
//! sent. The cipher made from a key takes ten times the memory of the key, so that an idle
//! connection keeps only the key.

mod tls12;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error, ProtocolVersion};

use super::fault::Fault;

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 5;
/// The most bytes of plaintext in a record (RFC 8446 5.1).
pub(super) const PLAINTEXT_BYTES_MAX: usize = 1 << 14;
/// The most bytes behind the header of a protected record (RFC 8446 5.2).
const PROTECTED_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 256;
/// The most bytes of a record.
pub(super) const RECORD_BYTES_MAX: usize = HEADER_BYTES + PROTECTED_BYTES_MAX;
/// Bytes that the tag of every cipher suite that is offered has.
const TAG_BYTES: usize = 16;
/// Bytes of a nonce that AES-GCM of TLS 1.2 sends in each record.
const EXPLICIT_NONCE_BYTES: usize = 8;
/// Bytes that protection adds to the plaintext of a record at most: header and tag, and a part of
/// the nonce (TLS 1.2) or the type.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + EXPLICIT_NONCE_BYTES + TAG_BYTES;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;

const FORGED: Fault = Fault::new(AlertDescription::BadRecordMac, "a record that was altered");
const OVERLONG: Fault = Fault::new(
    AlertDescription::RecordOverflow,
    "a record with too much content",
);
const UNSEALED: Fault = Fault::internal("sealing a record failed");

/// The type of a record's content (RFC 8446 5.1). Others are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    ApplicationData,
}

impl Content {
    fn code(self) -> u8 {
        match self {
            Content::Alert => 21,
            Content::Handshake => 22,
            Content::ApplicationData => 23,
        }
    }

    fn of(code: u8) -> Option<Content> {
        let all = [Content::Alert, Content::Handshake, Content::ApplicationData];
        all.into_iter().find(|content| content.code() == code)
    }
}

/// The keys of one direction.
pub(super) struct Direction {
    version: ProtocolVersion,
    secrets: ConnectionTrafficSecrets,
    /// The number of the next record.
    sequence: u64,
    /// Made when it is needed.
    cipher: Option<LessSafeKey>,
}

impl Direction {
    pub(super) fn new(
        version: ProtocolVersion,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Direction {
        Direction {
            version,
            secrets,
            sequence,
            cipher: None,
        }
    }

    pub(super) fn is_tls12(&self) -> bool {
        self.version == ProtocolVersion::TLSv1_2
    }

    /// The bytes of the record at the start of `bytes`, its header included; `None` while its
    /// header is not whole.
    ///
    /// # Errors
    /// It is no record that may follow a handshake, or longer than one may be.
    pub(super) fn record_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [kind, _, _, high, low] = *header;
        // TLS 1.3 shows no other type.
        let is_expected = match Content::of(kind) {
            Some(content) => self.is_tls12() || content == Content::ApplicationData,
            None => false,
        };
        if !is_expected {
            let alert = AlertDescription::UnexpectedMessage;
            return Err(Fault::new(alert, "a record without protection"));
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > PROTECTED_BYTES_MAX {
            let alert = AlertDescription::RecordOverflow;
            return Err(Fault::new(alert, "a record that is too long"));
        }
        Ok(Some(HEADER_BYTES + length))
    }

    /// Records so far under this key.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Goes on as after so many records.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// Frees the cipher; the next record makes it again.
    pub(super) fn shed(&mut self) {
        self.cipher = None;
    }

    /// Opens a whole record in place. Returns the type of its content and the content.
    pub(super) fn open<'a>(
        &mut self,
        record: &'a mut [u8],
    ) -> Result<(Content, &'a mut [u8]), Fault> {
        if self.is_tls12() {
            return self.open_tls12(record);
        }
        let nonce = Nonce::assume_unique_for_key(self.next_nonce()?);
        let (header, body) = record
            .split_first_chunk_mut::<HEADER_BYTES>()
            .ok_or(FORGED)?;
        let cipher = self.cipher()?;
        let opened = cipher.open_in_place(nonce, Aad::from(*header), body);
        let plaintext = opened.map_err(|_| FORGED)?;
        if plaintext.len() > PLAINTEXT_BYTES_MAX + 1 {
            return Err(OVERLONG);
        }
        // The type is the last byte that is not zero: padding follows it.
        let at = plaintext.iter().rposition(|byte| *byte != 0);
        let content = at.and_then(|at| Some((at, Content::of(plaintext[at])?)));
        let Some((at, content)) = content else {
            let alert = AlertDescription::UnexpectedMessage;
            return Err(Fault::new(alert, "a record of an unknown type"));
        };
        Ok((content, &mut plaintext[..at]))
    }

    /// Appends a record with this content to `out`.
    pub(super) fn seal(
        &mut self,
        content: Content,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        debug_assert!(plaintext.len() <= PLAINTEXT_BYTES_MAX);
        if self.is_tls12() {
            return self.seal_tls12(content, plaintext, out);
        }
        let nonce = Nonce::assume_unique_for_key(self.next_nonce()?);
        let length = (plaintext.len() + 1 + TAG_BYTES) as u16;
        let [high, low] = length.to_be_bytes();
        // The version that all records claim (RFC 8446 5.1).
        let header = [Content::ApplicationData.code(), 3, 3, high, low];
        out.extend_from_slice(&header);
        let start = out.len();
        out.extend_from_slice(plaintext);
        out.push(content.code());
        let cipher = self.cipher()?;
        let sealed = cipher.seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start..]);
        let tag = sealed.map_err(|_| UNSEALED)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// The nonce of the next record (RFC 8446 5.3). No two records have one: the last number is
    /// refused, as there is none after it.
    fn next_nonce(&mut self) -> Result<[u8; NONCE_BYTES], Fault> {
        let exhausted = || Fault::internal("a key has protected as many records as it may");
        let next = self.sequence.checked_add(1).ok_or_else(exhausted)?;
        let mut nonce = [0; NONCE_BYTES];
        nonce[NONCE_BYTES - 8..].copy_from_slice(&self.sequence.to_be_bytes());
        self.sequence = next;
        let (.., iv) = parts_of(&self.secrets)?;
        for (byte, iv) in nonce.iter_mut().zip(iv) {
            *byte ^= iv;
        }
        Ok(nonce)
    }

    fn cipher(&mut self) -> Result<&LessSafeKey, Fault> {
        if self.cipher.is_none() {
            let (algorithm, key, _) = parts_of(&self.secrets)?;
            let key = UnboundKey::new(algorithm, key);
            let key = key.map_err(|_| Fault::internal("a key does not fit its cipher"))?;
            self.cipher = Some(LessSafeKey::new(key));
        }
        let cipher = self.cipher.as_ref();
        cipher.ok_or_else(|| Fault::internal("the cipher was made above"))
    }
}

/// The cipher of these secrets, its key, and the part of the nonce that is secret.
fn parts_of(
    secrets: &ConnectionTrafficSecrets,
) -> Result<(&'static Algorithm, &[u8], &[u8]), Fault> {
    Ok(match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
            (&AES_128_GCM, key.as_ref(), iv.as_ref())
        }
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
            (&AES_256_GCM, key.as_ref(), iv.as_ref())
        }
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (&CHACHA20_POLY1305, key.as_ref(), iv.as_ref())
        }
        _ => return Err(Fault::internal("a cipher suite that is not offered")),
    })
}

impl From<Error> for Fault {
    fn from(_: Error) -> Fault {
        Fault::internal("the keys of the connection cannot be renewed")
    }
}
