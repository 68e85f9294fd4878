//! The protection of TLS 1.2 records (RFC 5246 6.2.3.3, RFC 5288 3, RFC 7905 2).
//!
//! The type of the content is in the header, the number of the record is authenticated, and AES-GCM
//! sends a part of its nonce in each record. Other modes than these are not offered.

use aws_lc_rs::aead::{Aad, Nonce};
use rustls::ConnectionTrafficSecrets;

use super::{
    Content, Direction, EXPLICIT_NONCE_BYTES, FORGED, HEADER_BYTES, NONCE_BYTES, OVERLONG,
    PLAINTEXT_BYTES_MAX, TAG_BYTES, UNSEALED,
};
use crate::transport::tls::fault::Fault;

/// Bytes that are authenticated besides the content: number, type, version and length.
const AUTHENTICATED_BYTES: usize = 13;

impl Direction {
    pub(super) fn open_tls12<'a>(
        &mut self,
        record: &'a mut [u8],
    ) -> Result<(Content, &'a mut [u8]), Fault> {
        let sequence = self.sequence;
        let mut nonce = self.next_nonce()?;
        let (header, body) = record
            .split_first_chunk_mut::<HEADER_BYTES>()
            .ok_or(FORGED)?;
        let content = Content::of(header[0]).ok_or(FORGED)?;
        let explicit_bytes = self.explicit_nonce_bytes();
        let plaintext_bytes = body.len().checked_sub(explicit_bytes + TAG_BYTES);
        let plaintext_bytes = plaintext_bytes.ok_or(FORGED)?;
        if plaintext_bytes > PLAINTEXT_BYTES_MAX {
            return Err(OVERLONG);
        }
        let (explicit, body) = body.split_at_mut(explicit_bytes);
        nonce[NONCE_BYTES - explicit_bytes..].copy_from_slice(explicit);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(authenticated(sequence, content, plaintext_bytes));
        let opened = self.cipher()?.open_in_place(nonce, aad, body);
        Ok((content, opened.map_err(|_| FORGED)?))
    }

    pub(super) fn seal_tls12(
        &mut self,
        content: Content,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let sequence = self.sequence;
        let nonce = self.next_nonce()?;
        let explicit_bytes = self.explicit_nonce_bytes();
        let [high, low] = ((explicit_bytes + plaintext.len() + TAG_BYTES) as u16).to_be_bytes();
        out.extend_from_slice(&[content.code(), 3, 3, high, low]);
        out.extend_from_slice(&nonce[NONCE_BYTES - explicit_bytes..]);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(authenticated(sequence, content, plaintext.len()));
        let cipher = self.cipher()?;
        let sealed = cipher.seal_in_place_separate_tag(nonce, aad, &mut out[start..]);
        out.extend_from_slice(sealed.map_err(|_| UNSEALED)?.as_ref());
        Ok(())
    }

    fn explicit_nonce_bytes(&self) -> usize {
        match self.secrets {
            ConnectionTrafficSecrets::Chacha20Poly1305 { .. } => 0,
            _ => EXPLICIT_NONCE_BYTES,
        }
    }
}

fn authenticated(sequence: u64, content: Content, bytes: usize) -> [u8; AUTHENTICATED_BYTES] {
    let mut all = [0; AUTHENTICATED_BYTES];
    all[..8].copy_from_slice(&sequence.to_be_bytes());
    let [high, low] = (bytes as u16).to_be_bytes();
    all[8..].copy_from_slice(&[content.code(), 3, 3, high, low]);
    all
}
