//! The start of the audit log: its keys, its directory, and the thread that writes it.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::AuditError;
use super::files::{SegmentLimits, Segments};
use super::log::AuditLog;
use super::writer::{Intervals, Writer};
use crate::guard::audit::{
    ArgumentsKey, AuditSettings, Chain, Head, KeyError, NODE_BYTES_MAX, RecordedArguments,
    SigningKey, Sync, is_node_name,
};
use crate::profile::Audit;

/// The longest file with a key that is read, in bytes.
const KEY_BYTES_MAX: u64 = 4096;
/// The bits of a file's mode that let others than its owner and group use it.
const MODE_OF_OTHERS: u32 = 0o037;

/// The thread that writes the audit log. Dropped, it writes the records that are there, and ends.
#[derive(Debug)]
pub struct AuditThread {
    log: AuditLog,
    thread: Option<JoinHandle<()>>,
}

/// Starts the audit log and writes its first record.
///
/// # Errors
/// A key or the directory cannot be used, or another process uses it.
pub fn start(settings: AuditSettings, profile: &Audit) -> Result<AuditThread, AuditError> {
    let read_key = |path: &PathBuf| key(path, SigningKey::from_pem);
    let signing_key = settings
        .signing_key_file
        .as_ref()
        .map(read_key)
        .transpose()?;
    let arguments_key = match &settings.arguments {
        RecordedArguments::Digest(path) => Some(key(path, ArgumentsKey::from_base64)?),
        RecordedArguments::Off | RecordedArguments::Fields(_) => None,
    };
    if signing_key.is_none() {
        tracing::warn!(
            "the audit log has no key: records can be made anew without a trace; write \
             signing_key_file in [audit]"
        );
    }
    let node = settings.node.clone().unwrap_or_else(node_of_host);
    let limits = SegmentLimits {
        bytes: profile.segment_bytes,
        age: Duration::from_millis(profile.segment_ms),
        keep: settings.keep_segments,
    };
    let (segments, last) = Segments::open(&settings.directory, &node, limits)?;
    let (head, outcome) = match &last {
        None => (Head::GENESIS, "first"),
        Some(last) if last.is_stop => (last.head, "after_stop"),
        Some(last) => (last.head, "after_crash"),
    };
    let intervals = Intervals {
        checkpoint: Duration::from_millis(profile.checkpoint_ms),
        checkpoint_records: profile.checkpoint_records,
        sync: match settings.sync {
            Sync::Always => Duration::ZERO,
            Sync::Interval => Duration::from_millis(profile.sync_interval_ms),
        },
    };
    let chain = Chain::new(&node, head, arguments_key);
    let failed = |error| AuditError::Directory {
        path: settings.directory.clone(),
        error,
    };
    let log = AuditLog::new(settings.clone(), profile.queue_bytes);
    let shared = Arc::clone(&log.shared);
    let mut writer = Writer::new(shared, (chain, signing_key), segments, intervals);
    writer.begin(outcome).map_err(failed)?;
    let thread = thread::Builder::new().name("audit".to_owned());
    let thread = thread.spawn(|| writer.run()).map_err(AuditError::Thread)?;
    let _ = log.shared.thread.set(thread.thread().clone());
    Ok(AuditThread {
        log,
        thread: Some(thread),
    })
}

impl AuditThread {
    /// The log that it writes.
    pub fn log(&self) -> &AuditLog {
        &self.log
    }
}

impl Drop for AuditThread {
    fn drop(&mut self) {
        let shared = &self.log.shared;
        shared.is_stopping.store(true, Ordering::Release);
        shared.wake();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!(?panic, "the thread of the audit log failed");
        }
    }
}

/// The key in a file that only its owner and group may read.
fn key<K>(path: &Path, read: impl FnOnce(&str) -> Result<K, KeyError>) -> Result<K, AuditError> {
    let failed = |error| AuditError::KeyFile {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(failed)?;
    // Of the file that is read, and not of another one that has its name later.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & MODE_OF_OTHERS != 0 {
        let path = path.to_owned();
        return Err(AuditError::KeyMode { path, mode });
    }
    let mut text = String::new();
    let mut file = file.take(KEY_BYTES_MAX);
    file.read_to_string(&mut text).map_err(failed)?;
    read(&text).map_err(|error| AuditError::Key {
        path: path.to_owned(),
        error,
    })
}

/// The name of the host, with a hyphen for each character that a node cannot have.
fn node_of_host() -> Box<str> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().trim_start_matches('.');
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    let allowed = host.chars().map(|it| if is_allowed(it) { it } else { '-' });
    let node: String = allowed.take(NODE_BYTES_MAX).collect();
    match is_node_name(&node) {
        true => node.into(),
        false => "node".into(),
    }
}
