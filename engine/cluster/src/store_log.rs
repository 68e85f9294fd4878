//! The store of a node without others: a table in memory, and the log that restores it.
//!
//! The log begins with [`MAGIC`]. A record is the length of its payload and the CRC-32C of that,
//! both u32 and little-endian, then the payload in postcard: key, revision, expiry and value. The
//! last record of a key is its current one; those before are outdated. The caller keeps the bytes
//! of the log in a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::codec::{ENVELOPE_BYTES, PAYLOAD_BYTES_MAX, array, checksum};
use crate::vocabulary::{Expect, Key, PutResult, ReadResult};

/// The first bytes of a log, with its format.
pub const MAGIC: &[u8; 8] = b"CLSTORE1";
/// Bytes of a value: a record of the core with its envelope.
const VALUE_BYTES_MAX: usize = ENVELOPE_BYTES + PAYLOAD_BYTES_MAX;
/// Bytes of a record besides its value: length, checksum, key, revision, expiry.
const OVERHEAD_BYTES_MAX: usize = 64;
/// Bytes of a record.
const RECORD_BYTES_MAX: usize = VALUE_BYTES_MAX + OVERHEAD_BYTES_MAX;
/// Bytes of length and checksum.
const HEAD_BYTES: usize = 8;
/// Bytes by which a log may exceed twice its current records before it is rewritten.
const SLACK_BYTES: u64 = 1 << 20;

/// A table of keys with conditional writes and expiry, and the length of its log.
#[derive(Debug, Default)]
pub struct StoreLog {
    entries: BTreeMap<Key, Entry>,
    revision: u64,
    /// Bytes of the current records.
    live_bytes: u64,
    /// Bytes of the log.
    log_bytes: u64,
    /// The unix time at which a full table last dropped its expired entries.
    dropped_s: u64,
}

#[derive(Debug)]
struct Entry {
    revision: u64,
    expires_s: u64,
    value: Vec<u8>,
    record_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Record<'r> {
    key: Key,
    revision: u64,
    /// The unix time at which it expires, 0 for never.
    expires_s: u64,
    value: &'r [u8],
}

/// How much of a log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// The bytes up to the end of the last whole record. An incomplete one may follow.
    pub bytes: u64,
    /// Damaged records. The ones before them of the same keys are current again.
    pub damaged: u64,
    /// Bytes behind a damaged length: no record can be found there.
    pub lost_bytes: u64,
}

/// The bytes are no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no log of sessions of this version: move it away, or name another file")]
pub struct NoLog;

impl StoreLog {
    /// Makes the table from a log; an empty one from no bytes.
    ///
    /// # Errors
    ///
    /// [`NoLog`] if the bytes begin otherwise than a log does.
    ///
    /// # Example
    ///
    /// ```
    /// use corelane_cluster::store_log::StoreLog;
    /// use corelane_cluster::vocabulary::{Expect, Key, PutResult, ReadResult};
    ///
    /// let mut log = Vec::new();
    /// let (mut store, _) = StoreLog::read_back(&log)?;
    /// let limits = (Expect::Absent, 60);
    /// let put = store.put(1_000, Key::Level, limits, vec![7], 1 << 20, |bytes| {
    ///     log.extend_from_slice(bytes);
    ///     true
    /// });
    /// assert_eq!(put, PutResult::Written(1));
    /// let (again, _) = StoreLog::read_back(&log)?;
    /// assert_eq!(again.read(1_059, Key::Level), ReadResult::Found(1, vec![7]));
    /// assert_eq!(again.read(1_060, Key::Level), ReadResult::Absent);
    /// # Ok::<(), corelane_cluster::store_log::NoLog>(())
    /// ```
    pub fn read_back(log: &[u8]) -> Result<(StoreLog, ReadBack), NoLog> {
        let mut store = StoreLog::default();
        let mut read = ReadBack {
            bytes: 0,
            damaged: 0,
            lost_bytes: 0,
        };
        let Some(mut rest) = log.strip_prefix(MAGIC) else {
            // Nothing, or a log that was cut off in its first bytes.
            return match MAGIC.starts_with(log) {
                true => Ok((store, read)),
                false => Err(NoLog),
            };
        };
        read.bytes = MAGIC.len() as u64;
        while let Some((head, after)) = rest.split_at_checked(HEAD_BYTES) {
            let length = u32::from_le_bytes(array(head, 0)) as usize;
            if length > RECORD_BYTES_MAX {
                read.damaged += 1;
                read.lost_bytes = rest.len() as u64;
                break;
            }
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            let bytes = (HEAD_BYTES + length) as u64;
            let is_whole = checksum(&[payload]) == u32::from_le_bytes(array(head, 4));
            match postcard::take_from_bytes::<Record<'_>>(payload) {
                Ok((record, [])) if is_whole => store.apply(&record, bytes),
                _ => read.damaged += 1,
            }
            read.bytes += bytes;
            rest = after;
        }
        store.log_bytes = read.bytes;
        Ok((store, read))
    }

    fn apply(&mut self, record: &Record<'_>, record_bytes: u64) {
        self.revision = self.revision.max(record.revision);
        let entry = Entry {
            revision: record.revision,
            expires_s: record.expires_s,
            value: record.value.to_vec(),
            record_bytes,
        };
        self.live_bytes += record_bytes;
        if let Some(before) = self.entries.insert(record.key, entry) {
            self.live_bytes -= before.record_bytes;
        }
    }

    fn entry(&self, now_s: u64, key: Key) -> Option<&Entry> {
        let entry = self.entries.get(&key)?;
        (!entry.has_expired(now_s)).then_some(entry)
    }

    /// Reads a key at a unix time in seconds. An expired value is absent.
    #[must_use]
    pub fn read(&self, now_s: u64, key: Key) -> ReadResult {
        match self.entry(now_s, key) {
            Some(entry) => ReadResult::Found(entry.revision, entry.value.clone()),
            None => ReadResult::Absent,
        }
    }

    /// Writes a value under a condition, with a time to live in seconds, 0 for none. `append` adds
    /// the record to the log and returns whether it could. The log has `bytes_max` bytes at most,
    /// half of them of current records; a write beyond that is refused.
    pub fn put(
        &mut self,
        now_s: u64,
        key: Key,
        (expect, ttl_s): (Expect, u64),
        value: Vec<u8>,
        bytes_max: u64,
        append: impl FnOnce(&[u8]) -> bool,
    ) -> PutResult {
        let last = self.entry(now_s, key).map(|it| it.revision);
        let holds = match expect {
            Expect::Absent => last.is_none(),
            Expect::Revision(revision) => last == Some(revision),
            Expect::Anything => true,
        };
        if !holds {
            return PutResult::Conflict;
        }
        let record = Record {
            key,
            revision: self.revision + 1,
            expires_s: match ttl_s {
                0 => 0,
                _ => now_s.saturating_add(ttl_s),
            },
            value: &value,
        };
        let mut bytes = match self.log_bytes {
            0 => MAGIC.to_vec(),
            _ => Vec::with_capacity(value.len() + OVERHEAD_BYTES_MAX),
        };
        let record_bytes = encode(&record, &mut bytes);
        let fits = |live_bytes: u64| live_bytes + record_bytes <= bytes_max / 2;
        // Once a second at most: it looks at all entries.
        if !fits(self.live_bytes) && self.dropped_s != now_s {
            self.dropped_s = now_s;
            self.drop_expired(now_s);
        }
        // A log that could not be rewritten exceeds its limit by no more than the slack.
        let has_place = fits(self.live_bytes)
            && self.log_bytes + record_bytes <= bytes_max + SLACK_BYTES
            && value.len() <= VALUE_BYTES_MAX;
        if !has_place || !append(&bytes) {
            return PutResult::Refused;
        }
        self.log_bytes += bytes.len() as u64;
        self.apply(&record, record_bytes);
        PutResult::Written(self.revision)
    }

    /// Whether the log has so many outdated records that it should be rewritten, by
    /// [`StoreLog::compact`].
    #[must_use]
    pub fn is_wasteful(&self) -> bool {
        self.log_bytes > 2 * self.live_bytes + SLACK_BYTES
    }

    /// A log of the current records only, to replace the one before.
    #[must_use]
    pub fn compact(&mut self, now_s: u64) -> Vec<u8> {
        self.drop_expired(now_s);
        let mut log = Vec::with_capacity(MAGIC.len() + self.live_bytes as usize);
        log.extend_from_slice(MAGIC);
        for (key, entry) in &self.entries {
            let record = Record {
                key: *key,
                revision: entry.revision,
                expires_s: entry.expires_s,
                value: &entry.value,
            };
            encode(&record, &mut log);
        }
        log
    }

    /// The log was replaced by that of [`StoreLog::compact`], which has so many bytes.
    pub fn compacted(&mut self, log_bytes: u64) {
        self.log_bytes = log_bytes;
    }

    fn drop_expired(&mut self, now_s: u64) {
        let live_bytes = &mut self.live_bytes;
        self.entries.retain(|_, entry| {
            let has_expired = entry.has_expired(now_s);
            *live_bytes -= if has_expired { entry.record_bytes } else { 0 };
            !has_expired
        });
    }

    /// The number of entries, expired ones included, and the bytes of the log.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.entries.len(), self.log_bytes)
    }
}

impl Entry {
    fn has_expired(&self, now_s: u64) -> bool {
        self.expires_s != 0 && self.expires_s <= now_s
    }
}

/// Appends a record, and returns its bytes.
fn encode(record: &Record<'_>, log: &mut Vec<u8>) -> u64 {
    let payload = postcard::to_allocvec(record).expect("it has no value that cannot be written");
    log.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    log.extend_from_slice(&checksum(&[&payload]).to_le_bytes());
    log.extend_from_slice(&payload);
    (HEAD_BYTES + payload.len()) as u64
}

#[cfg(test)]
mod tests;
