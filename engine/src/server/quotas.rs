//! Keeps the sums of quotas in a file, so that a restart gives nobody a second quota.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::{Error, Result};
use crate::guard::limit::board::QuotaBoard;
use crate::guard::limit::quota::read_snapshot;

/// Most bytes of a file of quotas: that of ten million owners with long names is longer, and not of
/// this server.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The thread that writes the sums, until this is dropped: after the shards have ended.
#[derive(Debug)]
pub(super) struct QuotaFile {
    board: Arc<QuotaBoard>,
    /// Dropped first: the thread writes once more and ends.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl QuotaFile {
    /// Reads the file at `path`, if it is there, and starts the thread.
    ///
    /// # Errors
    /// The file cannot be read, or has other contents; it cannot be written; or there is no thread.
    pub(super) fn open(path: &Path, shards: usize, interval: Duration) -> Result<QuotaFile> {
        let fault = |error: io::Error| {
            let path = path.display();
            Error::Access(format!("[limits] quota file {path}: {error}"))
        };
        let text = read(path).map_err(fault)?;
        let board = Arc::new(QuotaBoard::new(shards, text));
        // A folder that is not there or not writable is found now, not in a minute.
        write(path, board.restored()).map_err(fault)?;
        let (stop, stopped) = mpsc::channel();
        let (of_thread, path) = (Arc::clone(&board), PathBuf::from(path));
        let thread = thread::Builder::new()
            .name("quotas".to_owned())
            .spawn(move || {
                let mut written = String::new();
                let mut goes_on = true;
                while goes_on {
                    let stopped = stopped.recv_timeout(interval);
                    goes_on = stopped == Err(RecvTimeoutError::Timeout);
                    let Some(text) = of_thread.text().filter(|text| *text != written) else {
                        continue;
                    };
                    match write(&path, &text) {
                        Ok(()) => written = text,
                        Err(error) => tracing::error!(
                            file = %path.display(),
                            "the sums of quotas were not written, and are tried again: {error}"
                        ),
                    }
                }
            })
            .map_err(fault)?;
        Ok(QuotaFile {
            board,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where the shards publish their sums.
    pub(super) fn board(&self) -> Arc<QuotaBoard> {
        Arc::clone(&self.board)
    }
}

impl Drop for QuotaFile {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has logged what went wrong.
            let _ = thread.join();
        }
    }
}

/// The text of the file, or that of no sums if it is not there or empty.
fn read(path: &Path) -> io::Result<String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            let text = format!("it has more than {FILE_BYTES_MAX} bytes");
            return Err(io::Error::other(text));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(path)?;
    if !text.is_empty() {
        read_snapshot(&text).map_err(io::Error::other)?;
    }
    Ok(text)
}

/// Replaces the file as a whole.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::QuotaFile;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_last_sums_are_in_the_file_when_the_server_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("quotas");
        let file = QuotaFile::open(&path, 2, HOUR).expect("the folder is there");
        assert_eq!(file.board().restored(), "");
        file.board().publish(0, 9, "1 2 a\n".to_owned());
        file.board().publish(1, 9, "3 4 b\n".to_owned());
        drop(file);
        let text = fs::read_to_string(&path).expect("it was written");
        assert_eq!(text, "corelane quotas 1 day 9\n1 2 a\n3 4 b\n");
        let next = QuotaFile::open(&path, 1, HOUR).expect("its own text");
        assert_eq!(next.board().restored(), text);
        drop(next);
        assert_eq!(fs::read_to_string(&path).expect("it stays"), text);
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("quotas");
        fs::write(&path, "[server]\n").expect("a file");
        let error = QuotaFile::open(&path, 1, HOUR)
            .expect_err("no sums")
            .to_string();
        assert!(error.contains("line 1"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("it stays"), "[server]\n");
        let absent = folder.path().join("absent/quotas");
        let error = QuotaFile::open(&absent, 1, HOUR).expect_err("no folder");
        assert!(error.to_string().contains("absent/quotas"), "{error}");
    }
}
