//! The files of the audit log: segments that are only ever appended to.
//!
//! Only one process writes the segments of a directory: it holds a lock on the directory. Each
//! start makes a new segment, and so does each rotation. Bytes of a write that failed are cut off
//! again before the next one, so that no line is there twice or in part.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::error::AuditError;
use crate::guard::audit::{LINE_BYTES_MAX, LastRecord};

const DIRECTORY_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;
/// Writing by others, who could replace files.
const MODE_OF_WRITING_OTHERS: u32 = 0o002;

/// The segments of one node in one directory.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    /// Open for its lock, which ends with the process.
    locked: File,
    node: String,
    limits: SegmentLimits,
    current: Option<Segment>,
}

/// When a segment ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentLimits {
    /// Bytes past which no line is added.
    pub(super) bytes: u64,
    /// The age at which no line is added.
    pub(super) age: Duration,
    /// How many segments stay.
    pub(super) keep: Option<u32>,
}

/// The segment that lines are added to.
#[derive(Debug)]
struct Segment {
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
    opened: Instant,
    /// Whether there may be bytes past the whole lines.
    is_torn: bool,
    is_unsynced: bool,
}

/// A segment that is to be removed.
pub(super) struct OldSegment {
    pub(super) name: String,
    /// How many records it had.
    pub(super) records: u64,
}

impl Drop for Segments {
    /// Unlocks the directory. To close the file is not enough: a child process that is being
    /// started has it open as well until it executes its program (flock(2)).
    fn drop(&mut self) {
        let unlocked = flock(&self.locked, FlockOperation::Unlock);
        debug_assert!(unlocked.is_ok(), "{unlocked:?}");
    }
}

impl Segments {
    /// Makes the directory unless it is there, locks it, and finds the last record.
    pub(super) fn open(
        directory: &Path,
        node: &str,
        limits: SegmentLimits,
    ) -> Result<(Segments, Option<LastRecord>), AuditError> {
        let failed = |error| AuditError::Directory {
            path: directory.to_owned(),
            error,
        };
        let mut builder = DirBuilder::new();
        let made = builder
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory);
        made.map_err(failed)?;
        let locked = File::open(directory).map_err(failed)?;
        let mode = locked.metadata().map_err(failed)?.permissions().mode();
        if mode & MODE_OF_WRITING_OTHERS != 0 {
            let path = directory.to_owned();
            return Err(AuditError::DirectoryMode { path });
        }
        if flock(&locked, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(AuditError::Locked(directory.to_owned()));
        }
        let segments = Segments {
            directory: directory.to_owned(),
            locked,
            node: node.to_owned(),
            limits,
            current: None,
        };
        let last = segments.last_record()?;
        Ok((segments, last))
    }

    /// Appends whole lines, of which the first has number `first_seq`.
    ///
    /// # Errors
    /// None of the lines is in the log then, and the same call can be made again.
    pub(super) fn append(&mut self, first_seq: u64, lines: &[u8]) -> io::Result<()> {
        let mut segment = match self.current.take() {
            Some(segment) => segment,
            None => self.create(first_seq)?,
        };
        let appended = segment.append(lines);
        let is_full = segment.bytes >= self.limits.bytes;
        let is_old = segment.opened.elapsed() >= self.limits.age;
        if appended.is_ok() && (is_full || is_old) {
            if let Err(error) = segment.sync() {
                tracing::error!(%error, "the audit log could not be synchronised with its disk");
            }
        } else {
            self.current = Some(segment);
        }
        appended
    }

    /// Synchronises the written lines with the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.current.as_mut().map_or(Ok(()), Segment::sync)
    }

    fn create(&self, first_seq: u64) -> io::Result<Segment> {
        let name = format!("audit-{}-{first_seq:012}.jsonl", self.node);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(FILE_MODE)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(self.directory.join(name))?;
        self.locked.sync_all()?;
        Ok(Segment {
            file,
            bytes: 0,
            opened: Instant::now(),
            is_torn: false,
            is_unsynced: false,
        })
    }

    /// The oldest segments past the number that stays, if the next lines begin a new one, whose
    /// first record has this number.
    pub(super) fn old(&self, next_seq: u64) -> Vec<OldSegment> {
        let Some(keep) = self.limits.keep.filter(|_| self.current.is_none()) else {
            return Vec::new();
        };
        let mut names = self.names().unwrap_or_default();
        let old = (names.len() + 1).saturating_sub(keep as usize);
        names.push((next_seq, String::new()));
        let pairs = names.windows(2).take(old);
        let old = pairs.map(|pair| OldSegment {
            name: pair[0].1.clone(),
            records: pair[1].0.saturating_sub(pair[0].0),
        });
        old.collect()
    }

    /// Removes an old segment. One that cannot be removed is logged and stays.
    pub(super) fn remove(&self, segment: &OldSegment) {
        if let Err(error) = std::fs::remove_file(self.directory.join(&segment.name)) {
            let name = &segment.name;
            tracing::warn!(name, %error, "an old audit segment stays");
        }
    }

    /// The node's segments, the oldest first: the numbers of their first records, and their names.
    fn names(&self) -> io::Result<Vec<(u64, String)>> {
        let prefix = format!("audit-{}-", self.node);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let seq = name.strip_prefix(&prefix);
            let seq = seq.and_then(|rest| rest.strip_suffix(".jsonl"));
            if let Some(seq) = seq.and_then(|seq| seq.parse::<u64>().ok()) {
                names.push((seq, name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// The last whole record. Segments after it that have none are removed: they are of a start
    /// that was killed, and their names are those of the next ones.
    fn last_record(&self) -> Result<Option<LastRecord>, AuditError> {
        let failed = |path: &Path, error| AuditError::Directory {
            path: path.to_owned(),
            error,
        };
        let names = self
            .names()
            .map_err(|error| failed(&self.directory, error))?;
        for (_, name) in names.iter().rev() {
            let path = self.directory.join(name);
            let line = last_line(&path).map_err(|error| failed(&path, error))?;
            let Some(line) = line else {
                std::fs::remove_file(&path).map_err(|error| failed(&path, error))?;
                continue;
            };
            let last = LastRecord::read(&line);
            return match last {
                Ok(last) if last.node == self.node => Ok(Some(last)),
                Ok(_) | Err(_) => Err(AuditError::Damaged(path)),
            };
        }
        Ok(None)
    }
}

impl Segment {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.bytes)?;
            self.is_torn = false;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        self.is_unsynced = true;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.is_unsynced {
            self.file.sync_data()?;
            self.is_unsynced = false;
        }
        Ok(())
    }
}

/// The last line of a file that has its end; nothing if there is none.
fn last_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    // The last whole line and part of another one behind it.
    let end = bytes.min(2 * LINE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(bytes - end))?;
    let mut text = Vec::new();
    file.take(end).read_to_end(&mut text)?;
    let Some(line_end) = text.iter().rposition(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    text.truncate(line_end);
    let start = text.iter().rposition(|byte| *byte == b'\n');
    Ok(Some(text.split_off(start.map_or(0, |at| at + 1))))
}
