//! The chain: each record has the hash of the record before it.
//!
//! The hash of a record is SHA-256 of the hash before it and of the line without its own hash; the
//! first record follows 32 zero bytes. A checkpoint has an Ed25519 signature over the node, the
//! number and the hash of the record before it, so over all records up to there.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::key::{ArgumentsKey, SigningKey};
use super::line::{self, Place};
use super::record::Record;

/// The end of a chain: the number and the hash of its last record. As text, an anchor: `7:3q2-7w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record, from 1; 0 before the first record.
    pub seq: u64,
    /// The hash of the last record.
    pub hash: [u8; 32],
}

/// A text that is no anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number, a colon and a hash of 43 characters, as corelane audit head prints them")]
pub struct HeadError;

/// Makes the lines of a node, one after the other.
#[derive(Debug)]
pub struct Chain {
    node: Box<str>,
    head: Head,
    arguments_key: Option<ArgumentsKey>,
}

impl Head {
    /// The head of a chain without a record.
    pub const GENESIS: Head = Head {
        seq: 0,
        hash: [0; 32],
    };

    /// The text that a checkpoint signs.
    pub(super) fn signed_text(&self, node: &str) -> String {
        let hash = URL_SAFE_NO_PAD.encode(self.hash);
        format!(
            "corelane audit checkpoint 1\n{node}\n{}\n{hash}\n",
            self.seq
        )
    }
}

impl fmt::Display for Head {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.seq, URL_SAFE_NO_PAD.encode(self.hash))
    }
}

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Head, HeadError> {
        let (seq, hash) = text.split_once(':').ok_or(HeadError)?;
        let hash = URL_SAFE_NO_PAD.decode(hash).map_err(|_| HeadError)?;
        Ok(Head {
            seq: seq.parse().map_err(|_| HeadError)?,
            hash: hash.try_into().map_err(|_| HeadError)?,
        })
    }
}

impl Chain {
    /// The chain of a node that goes on after `head`. Digests of arguments are left out without a
    /// key.
    ///
    /// ```
    /// use corelane_guard::audit::{Chain, Event, Head, Record, Verifier};
    ///
    /// let mut chain = Chain::new("host", Head::GENESIS, None);
    /// let mut lines = Vec::new();
    /// chain.append(&Record::new(Event::AuditStarted, 1_795_281_600_000_000), &mut lines);
    /// let text = std::str::from_utf8(&lines)?;
    /// let start = r#"{"v":1,"seq":1,"time":"2026-11-21T17:20:00.000000Z","node":"host","#;
    /// assert!(text.starts_with(start));
    /// let mut verifier = Verifier::default();
    /// verifier.line(text.trim_end().as_bytes())?;
    /// assert_eq!(verifier.finish()?.head, chain.head());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(node: &str, head: Head, arguments_key: Option<ArgumentsKey>) -> Chain {
        Chain {
            node: node.into(),
            head,
            arguments_key,
        }
    }

    /// The last record.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Appends the line of a record, with its end.
    pub fn append(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.append_signed(record, None, out);
    }

    /// Appends a record, of the event [`Event::Checkpoint`](super::Event::Checkpoint), with a
    /// signature over the chain before it.
    pub fn checkpoint(&mut self, record: &Record<'_>, key: &SigningKey, out: &mut Vec<u8>) {
        let text = self.head.signed_text(&self.node);
        let signature = (key.verifying_key().id(), key.sign(text.as_bytes()));
        self.append_signed(record, Some(&signature), out);
    }

    fn append_signed(
        &mut self,
        record: &Record<'_>,
        signature: Option<&line::Signature>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let place = Place {
            seq: self.head.seq + 1,
            node: &self.node,
            prev: &self.head.hash,
        };
        line::write(out, place, record, signature, self.arguments_key.as_ref());
        let hash = hash(&self.head.hash, &out[start..]);
        line::write_hash(out, &hash);
        self.head = Head {
            seq: self.head.seq + 1,
            hash,
        };
    }
}

/// The hash of a line, which lacks its own hash, after the hash before it.
pub(super) fn hash(prev: &[u8; 32], line: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(prev);
    hasher.update(line);
    hasher.finalize().into()
}
