//! Verification of a chain, line by line and in constant memory.
//!
//! It finds each change, removal, exchange and insertion of records. Records after the last
//! checkpoint could have been made anew by anyone who can write the files; only an anchor that was
//! kept elsewhere finds that, and the removal of the end.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::chain::{self, Head};
use super::event::Event;
use super::key::VerifyingKey;
use super::line::{self, Hex};
use super::{CHECKPOINT_RECORDS_MAX, LINE_BYTES_MAX, STOPPED, VERSION};

/// Verifies the chain of one node.
#[derive(Debug, Default)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    anchor: Option<Head>,
    is_anchored: bool,
    first_seq: Option<u64>,
    summary: Summary,
    /// The last time of each shard, in microseconds since 1970; of the process under none.
    times: HashMap<Option<u16>, u64, foldhash::fast::RandomState>,
    unsigned: u64,
    /// The number of the record after those that the writer has removed.
    kept_seq: u64,
}

/// A chain that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The node.
    pub node: String,
    /// The number of the first record that is there.
    pub first_seq: u64,
    /// The last record.
    pub head: Head,
    /// The last record that a verified signature covers; none without a key.
    pub signed_seq: Option<u64>,
    /// How many records the server has lost and counted.
    pub lost: u64,
    /// Whether the last record is of a writer that stopped in order.
    pub is_stopped: bool,
    /// Whether the end has part of a line.
    pub is_cut: bool,
}

/// A chain that is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}: {fault}")]
pub struct Broken {
    /// The number of the first bad record: that of its place, not one that it claims.
    pub seq: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// A fault of a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The line is no record.
    #[error("the line is no record of version {VERSION}")]
    Malformed,
    /// The line is too long.
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The record has another number.
    #[error("its number is {found}: records are missing, or moved")]
    Seq {
        /// The number that it has.
        found: u64,
    },
    /// The record is of another node.
    #[error("it is a record of the node {0:?}")]
    Node(String),
    /// It does not follow the record before it.
    #[error("it does not follow the record before it: one of the two was changed or exchanged")]
    Prev,
    /// Its hash is wrong.
    #[error("its hash is wrong: the record was changed")]
    Hash,
    /// The clock went back.
    #[error("it is earlier than a record before it: the clock was set back")]
    ClockBack,
    /// A checkpoint has a wrong signature.
    #[error("its signature is wrong: the records before it were changed, or it was forged")]
    Signature,
    /// A checkpoint is of another key.
    #[error("it is signed with the key {0}, which was not given: name its file with --key")]
    UnknownKey(String),
    /// A checkpoint is missing.
    #[error("the {CHECKPOINT_RECORDS_MAX} records before it have no signature")]
    Unsigned,
    /// Records before the first one were removed, and not by the writer.
    #[error(
        "the records before it are missing, and no audit.removed says that the server removed \
         them: bring their segments back, or name a record of these with --anchor"
    )]
    StartMissing,
    /// The anchored record has another hash.
    #[error("its hash is not that of the anchor: it was made anew after the anchor was kept")]
    Anchor,
    /// The anchored record is not there.
    #[error("it is missing: the log ends before the record of the anchor")]
    AnchorMissing,
    /// The anchored record is older than the log.
    #[error("it is after the record of the anchor, so nothing can be compared")]
    AnchorBefore,
}

/// The last record of a segment, for a writer that goes on after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRecord {
    /// Its node.
    pub node: String,
    /// Its place in the chain.
    pub head: Head,
    /// When it was, in microseconds since 1970.
    pub time_us: u64,
    /// Whether the writer stopped in order.
    pub is_stop: bool,
}

/// The members of a line that verification needs.
#[derive(Deserialize)]
struct Members<'a> {
    v: u8,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    node: Cow<'a, str>,
    shard: Option<u16>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
    count: Option<u64>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prev: Cow<'a, str>,
}

/// A line, read and consistent in itself.
struct Read<'a> {
    members: Members<'a>,
    time_us: u64,
    prev: [u8; 32],
    hash: [u8; 32],
}

impl Default for Summary {
    fn default() -> Summary {
        Summary {
            node: String::new(),
            first_seq: 0,
            head: Head::GENESIS,
            signed_seq: None,
            lost: 0,
            is_stopped: false,
            is_cut: false,
        }
    }
}

impl Verifier {
    /// Verifies the signatures of checkpoints, too: each must be of one of the keys that are added,
    /// and at most [`CHECKPOINT_RECORDS_MAX`] records may be without one.
    #[must_use]
    pub fn with_key(mut self, key: VerifyingKey) -> Verifier {
        self.keys.push(key);
        self
    }

    /// Compares the hash of one record with one that was kept elsewhere.
    #[must_use]
    pub fn with_anchor(mut self, anchor: Head) -> Verifier {
        self.anchor = Some(anchor);
        self
    }

    /// Verifies the next line, which has no end of line.
    ///
    /// # Errors
    /// The first fault. Nothing after it can be verified.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Broken> {
        let seq = self.next_seq().unwrap_or(1);
        self.check(line).map_err(|fault| Broken { seq, fault })
    }

    /// Records that a segment ended with part of a line, as a writer leaves it that was killed. The
    /// next line must go on after the last whole one.
    pub fn cut_line(&mut self) {
        self.summary.is_cut = true;
    }

    /// The result after the last line.
    ///
    /// # Errors
    /// The record of the anchor is missing; without an anchor, the first records are, and the
    /// writer has not removed them.
    pub fn finish(self) -> Result<Summary, Broken> {
        let Some(anchor) = self.anchor.filter(|_| !self.is_anchored) else {
            let is_whole = self.summary.first_seq <= self.kept_seq.max(1);
            return match is_whole || self.is_anchored {
                true => Ok(self.summary),
                false => Err(Broken {
                    seq: self.summary.first_seq,
                    fault: Fault::StartMissing,
                }),
            };
        };
        Err(match self.first_seq {
            Some(first) if first > anchor.seq => Broken {
                seq: first,
                fault: Fault::AnchorBefore,
            },
            _ => Broken {
                seq: self.summary.head.seq + 1,
                fault: Fault::AnchorMissing,
            },
        })
    }

    fn next_seq(&self) -> Option<u64> {
        self.first_seq.map(|_| self.summary.head.seq + 1)
    }

    fn check(&mut self, line: &[u8]) -> Result<(), Fault> {
        let Read {
            members,
            time_us,
            prev,
            hash,
        } = Read::of(line)?;
        match self.next_seq() {
            None => self.begin(&members, prev)?,
            Some(expected) if members.seq != expected => {
                return Err(Fault::Seq { found: members.seq });
            }
            Some(_) if members.node != self.summary.node => {
                return Err(Fault::Node(members.node.into_owned()));
            }
            Some(_) if prev != self.summary.head.hash => return Err(Fault::Prev),
            Some(_) => {}
        }
        self.check_time(members.shard, time_us)?;
        self.check_signature(&members)?;
        let head = Head {
            seq: members.seq,
            hash,
        };
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.seq == head.seq) {
            self.is_anchored = anchor == head;
            if !self.is_anchored {
                return Err(Fault::Anchor);
            }
        }
        let summary = &mut self.summary;
        summary.head = head;
        summary.is_cut = false;
        summary.is_stopped = is_stop(&members);
        if members.event == Event::AuditGap.name() {
            summary.lost = summary.lost.saturating_add(members.count.unwrap_or(0));
        }
        if let Some((first, count)) = removed(&members) {
            self.kept_seq = self.kept_seq.max(first.saturating_add(count));
        }
        Ok(())
    }

    fn begin(&mut self, members: &Members<'_>, prev: [u8; 32]) -> Result<(), Fault> {
        if members.seq == 0 {
            return Err(Fault::Malformed);
        }
        if members.seq == 1 && prev != Head::GENESIS.hash {
            return Err(Fault::Prev);
        }
        self.first_seq = Some(members.seq);
        self.summary.first_seq = members.seq;
        self.summary.node = members.node.clone().into_owned();
        self.summary.head = Head {
            seq: members.seq - 1,
            hash: prev,
        };
        Ok(())
    }

    fn check_time(&mut self, shard: Option<u16>, time_us: u64) -> Result<(), Fault> {
        let last = self.times.entry(shard).or_insert(time_us);
        if time_us < *last {
            return Err(Fault::ClockBack);
        }
        *last = time_us;
        Ok(())
    }

    fn check_signature(&mut self, members: &Members<'_>) -> Result<(), Fault> {
        if self.keys.is_empty() {
            return Ok(());
        }
        if members.event != Event::Checkpoint.name() {
            self.unsigned += 1;
            let is_too_many = self.unsigned > CHECKPOINT_RECORDS_MAX;
            return if is_too_many {
                Err(Fault::Unsigned)
            } else {
                Ok(())
            };
        }
        let id = members.key.as_deref().ok_or(Fault::Malformed)?;
        let key = self.keys.iter().find(|key| Hex(key.id()).to_string() == id);
        let key = key.ok_or_else(|| Fault::UnknownKey(id.chars().take(16).collect()))?;
        let signature = members.signature.as_deref().ok_or(Fault::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.map_err(|_| Fault::Malformed)?;
        let text = self.summary.head.signed_text(&self.summary.node);
        if !key.verifies(text.as_bytes(), &signature) {
            return Err(Fault::Signature);
        }
        self.unsigned = 0;
        self.summary.signed_seq = Some(self.summary.head.seq);
        Ok(())
    }
}

impl LastRecord {
    /// The record on a line, which has no end of line. The records before it are not checked.
    ///
    /// # Errors
    /// The line is no record, or was changed.
    pub fn read(line: &[u8]) -> Result<LastRecord, Fault> {
        let read = Read::of(line)?;
        Ok(LastRecord {
            head: Head {
                seq: read.members.seq,
                hash: read.hash,
            },
            time_us: read.time_us,
            is_stop: is_stop(&read.members),
            node: read.members.node.into_owned(),
        })
    }
}

/// The first record of a segment that the writer has removed, and how many there were.
fn removed(members: &Members<'_>) -> Option<(u64, u64)> {
    if members.event != Event::AuditRemoved.name() {
        return None;
    }
    let name = members.name.as_deref()?.strip_suffix(".jsonl")?;
    let (_, first_seq) = name.rsplit_once('-')?;
    Some((first_seq.parse().ok()?, members.count?))
}

/// The last two records of a writer that stops in order: one has the event, the other signs it.
fn is_stop(members: &Members<'_>) -> bool {
    let is_last_checkpoint =
        members.event == Event::Checkpoint.name() && members.outcome.as_deref() == Some(STOPPED);
    is_last_checkpoint || members.event == Event::AuditStopped.name()
}

impl<'a> Read<'a> {
    fn of(line: &'a [u8]) -> Result<Read<'a>, Fault> {
        if line.len() >= LINE_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let members: Members<'a> = serde_json::from_slice(line).map_err(|_| Fault::Malformed)?;
        let time = humantime::parse_rfc3339(&members.time).map_err(|_| Fault::Malformed)?;
        let time = time.duration_since(UNIX_EPOCH);
        let time_us = time.map_err(|_| Fault::Malformed)?.as_micros();
        let prev = URL_SAFE_NO_PAD.decode(&*members.prev).ok();
        let prev: Option<[u8; 32]> = prev.and_then(|prev| prev.try_into().ok());
        let prev = prev.ok_or(Fault::Malformed)?;
        let (text, hash) = line::split_hash(line).ok_or(Fault::Malformed)?;
        if members.v != VERSION {
            return Err(Fault::Malformed);
        }
        if chain::hash(&prev, &text) != hash {
            return Err(Fault::Hash);
        }
        Ok(Read {
            time_us: u64::try_from(time_us).map_err(|_| Fault::Malformed)?,
            members,
            prev,
            hash,
        })
    }
}

#[cfg(test)]
mod tests;
