//! The store of a node without others: its log in a file, which this process alone has.
//!
//! A write is in the file when it is answered, so the end of the process loses none. A power
//! failure loses the writes that the kernel has not yet brought to the disk.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use corelane_cluster::store_log::{ReadBack, StoreLog};
use corelane_cluster::vocabulary::{Expect, Key, Op};
use corelane_nats::BusEvent;
use serde_json::{Value, json};

use super::frames::unix_s;

/// The fault of a file that is in use.
const TAKEN: &str = "another process has it: stop that one, or name another file";
/// Seconds until the log is rewritten, after that failed.
const COMPACT_AGAIN_S: u64 = 10;

/// A file and its table.
#[derive(Debug)]
pub(super) struct FileLink {
    path: PathBuf,
    file: File,
    store: StoreLog,
    bytes_max: u64,
    events: VecDeque<BusEvent>,
    /// The last write failed, and that was reported.
    is_failing: bool,
    /// The log is not rewritten before this unix time, because that failed.
    compact_after_s: u64,
}

impl FileLink {
    /// Opens a file and reads its records. A missing file is made.
    ///
    /// # Errors
    /// It cannot be used, another process has it, or it is something else.
    pub(super) fn open(path: &Path, bytes_max: u64) -> Result<FileLink, String> {
        let file = open(path).map_err(|error| error.to_string())?;
        lock(&file)?;
        if !is_same(&file, path) {
            // Another process has replaced it meanwhile.
            return Err(TAKEN.to_owned());
        }
        let mut log = Vec::new();
        let read = (&file).read_to_end(&mut log);
        read.map_err(|error| error.to_string())?;
        let (store, read) = StoreLog::read_back(&log).map_err(|error| error.to_string())?;
        let mut link = FileLink {
            path: path.to_owned(),
            file,
            store,
            bytes_max,
            events: VecDeque::from([BusEvent::Connected]),
            is_failing: false,
            compact_after_s: 0,
        };
        link.mend(read, log.len() as u64)
            .map_err(|error| error.to_string())?;
        Ok(link)
    }

    /// Cuts off a record that was not written whole. A damaged file is kept under another name.
    fn mend(&mut self, read: ReadBack, length: u64) -> io::Result<()> {
        if read.damaged > 0 {
            let kept = self.path.with_added_extension("damaged");
            // It has its place until the next file is whole: no start finds none.
            match std::fs::remove_file(&kept) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::fs::hard_link(&self.path, &kept)?,
            }
            tracing::error!(
                file = %kept.display(),
                records = read.damaged,
                bytes = read.lost_bytes,
                "the file of sessions is damaged, and is kept under this name: some sessions have \
                 lost their last changes"
            );
            return self.compact(unix_s());
        }
        if read.bytes < length {
            self.file.set_len(read.bytes)?;
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> Option<BusEvent> {
        self.events.pop_front()
    }

    /// A message to all comes back.
    pub(super) fn echo(&mut self, message: Vec<u8>) {
        self.events.push_back(BusEvent::Message(message));
    }

    pub(super) fn put(&mut self, op: Op, key: Key, limits: (Expect, u64), value: Vec<u8>) {
        let (file, mut fault, now_s) = (&mut self.file, None, unix_s());
        let (_, length) = self.store.size();
        let append = |bytes: &[u8]| match file.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                // A part of a record would hide those after it.
                let cut = file.set_len(length);
                fault = Some(cut.err().unwrap_or(error));
                false
            }
        };
        let result = self
            .store
            .put(now_s, key, limits, value, self.bytes_max, append);
        self.events.push_back(BusEvent::Put(op, result));
        let may_compact = fault.is_none() && self.compact_after_s <= now_s;
        if may_compact && self.store.is_wasteful() {
            fault = self.compact(now_s).err();
            self.compact_after_s = fault.as_ref().map_or(0, |_| now_s + COMPACT_AGAIN_S);
        }
        let is_failing = std::mem::replace(&mut self.is_failing, fault.is_some());
        if let Some(error) = fault.filter(|_| !is_failing) {
            let text = format!("{}: {error}", self.path.display());
            self.events.push_back(BusEvent::Refused(text));
        }
    }

    pub(super) fn read(&mut self, op: Op, key: Key) {
        let result = self.store.read(unix_s(), key);
        self.events.push_back(BusEvent::Read(op, result));
    }

    /// Writes the current records to another file, which then replaces this one.
    fn compact(&mut self, now_s: u64) -> io::Result<()> {
        let path = self.path.with_added_extension("new");
        let mut file = open(&path)?;
        lock(&file).map_err(io::Error::other)?;
        file.set_len(0)?;
        let log = self.store.compact(now_s);
        file.write_all(&log)?;
        file.sync_data()?;
        std::fs::rename(&path, &self.path)?;
        self.file = file;
        self.store.compacted(log.len() as u64);
        Ok(())
    }

    /// The file, for an administrator.
    pub(super) fn status(&self) -> Value {
        let (entries, bytes) = self.store.size();
        json!({ "file": self.path.display().to_string(), "entries": entries, "bytes": bytes })
    }
}

impl Drop for FileLink {
    /// Unlocks the file. To close it is not enough: a child process that is being started has it
    /// open as well until it executes its program (flock(2)).
    fn drop(&mut self) {
        let unlocked = self.file.unlock();
        debug_assert!(unlocked.is_ok(), "{unlocked:?}");
    }
}

/// Opens a file to read it and append to it. It names principals and resources: other users of the
/// host cannot read it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options.open(path)
}

/// Whether a path leads to an open file.
fn is_same(file: &File, path: &Path) -> bool {
    let (here, there) = (file.metadata(), std::fs::metadata(path));
    here.is_ok_and(|here| {
        there.is_ok_and(|there| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    })
}

fn lock(file: &File) -> Result<(), String> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => TAKEN.to_owned(),
        TryLockError::Error(error) => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
