//! The store of a node without others: a table in memory, and the log from which it is made again.
//!
//! The log begins with [`MAGIC`]. A record is the length of its payload and the CRC-32C of that,
//! both u32 and little-endian, then the payload in postcard: key, revision, expiry and value. The
//! last record of a key counts. Its caller keeps the bytes of the log in a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::codec::{ENVELOPE_BYTES, PAYLOAD_BYTES_MAX, checksum};
use crate::vocabulary::{Expect, Key, PutResult, ReadResult};

/// The first bytes of a log, with its format.
pub const MAGIC: &[u8; 8] = b"CLSTORE1";
/// Bytes of a record besides its value: length, checksum, key, revision, expiry.
const OVERHEAD_BYTES_MAX: usize = 64;
/// Bytes of a record.
const RECORD_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + ENVELOPE_BYTES + OVERHEAD_BYTES_MAX;
/// Bytes of length and checksum.
const HEAD_BYTES: usize = 8;
/// Bytes by which a log may be longer than twice what counts of it, before it is written anew.
const SLACK_BYTES: u64 = 1 << 20;

/// A table of keys with conditional writes and expiry, and the length of its log.
#[derive(Debug, Default)]
pub struct StoreLog {
    entries: BTreeMap<Key, Entry>,
    revision: u64,
    /// Bytes of the records that count.
    live_bytes: u64,
    /// Bytes of the log.
    log_bytes: u64,
    /// When entries whose time is over were last dropped.
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
    /// The unix time at which it is over, 0 for never.
    expires_s: u64,
    value: &'r [u8],
}

/// How much of a log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// The bytes up to the end of the last whole record. What follows was cut off in the middle.
    pub bytes: u64,
    /// Records that are damaged. The ones before them of the same keys count.
    pub damaged: u64,
    /// Bytes behind a damaged length, where no record can be found any more.
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
        while let Some((head, after)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let [length, sum] = head.as_chunks::<4>().0 else {
                break;
            };
            let length = u32::from_le_bytes(*length) as usize;
            if length > RECORD_BYTES_MAX {
                read.damaged += 1;
                read.lost_bytes = rest.len() as u64;
                break;
            }
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            let bytes = (HEAD_BYTES + length) as u64;
            let is_whole = checksum(&[payload]) == u32::from_le_bytes(*sum);
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
        (!entry.is_over(now_s)).then_some(entry)
    }

    /// Reads a key at a unix time in seconds. A value whose time is over is absent.
    #[must_use]
    pub fn read(&self, now_s: u64, key: Key) -> ReadResult {
        match self.entry(now_s, key) {
            Some(entry) => ReadResult::Found(entry.revision, entry.value.clone()),
            None => ReadResult::Absent,
        }
    }

    /// Writes a value under a condition, with a time to live in seconds, 0 for none, and appends
    /// its record to the log: `append` says whether the log has it. The log takes `bytes_max` bytes
    /// at most, of which half may be of records that count; past that the write is refused.
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
        if self.live_bytes + record_bytes > bytes_max / 2 {
            self.drop_old(now_s);
        }
        // A log that could not be written anew has no more than its slack beyond that.
        let is_full = self.live_bytes + record_bytes > bytes_max / 2
            || self.log_bytes + record_bytes > bytes_max + SLACK_BYTES;
        if is_full || value.len() > PAYLOAD_BYTES_MAX + ENVELOPE_BYTES || !append(&bytes) {
            return PutResult::Refused;
        }
        self.log_bytes += bytes.len() as u64;
        self.apply(&record, record_bytes);
        PutResult::Written(self.revision)
    }

    /// Whether the log has so much that does not count that it should be written anew, by
    /// [`StoreLog::compact`].
    #[must_use]
    pub fn is_wasteful(&self) -> bool {
        self.log_bytes > 2 * self.live_bytes + SLACK_BYTES
    }

    /// A log of what counts alone, in place of the one before.
    #[must_use]
    pub fn compact(&mut self, now_s: u64) -> Vec<u8> {
        self.dropped_s = 0;
        self.drop_old(now_s);
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

    /// The log is one of [`StoreLog::compact`] now.
    pub fn compacted(&mut self, log_bytes: u64) {
        self.log_bytes = log_bytes;
    }

    /// Drops what is over, once a second at most: it looks at all entries.
    fn drop_old(&mut self, now_s: u64) {
        if self.dropped_s == now_s {
            return;
        }
        self.dropped_s = now_s;
        let live_bytes = &mut self.live_bytes;
        self.entries.retain(|_, entry| {
            let is_over = entry.is_over(now_s);
            *live_bytes -= if is_over { entry.record_bytes } else { 0 };
            !is_over
        });
    }

    /// Entries, those whose time is over included, and the bytes of the log.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.entries.len(), self.log_bytes)
    }
}

impl Entry {
    fn is_over(&self, now_s: u64) -> bool {
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
