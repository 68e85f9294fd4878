//! Reads the files of `[tls]` again when they change.
//!
//! Simple version: watch them with inotify. Deviation: the files are often links to links that are
//! swapped, on file systems that report nothing. A look at a few files once a second costs less
//! than either.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::{Error, Result};
use crate::profile::{ListenAddress, Tls};
use crate::transport::tls::config::TlsSource;

/// Between two looks at the files. Changed files are read when they were the same for two looks:
/// certificate and key are rarely replaced at the same time.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The certificates of listeners with TLS, read again until this is dropped.
#[derive(Debug)]
pub(super) struct Certificates {
    source: Arc<TlsSource>,
    /// Dropped first: then the thread ends.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Certificates {
    /// The certificates, if an address has TLS.
    ///
    /// # Errors
    /// See [`Certificates::read`].
    pub(super) fn for_listeners(
        addresses: &[ListenAddress],
        tls: &Tls,
    ) -> Result<Option<Certificates>> {
        let has_tls = addresses.iter().any(|it| it.tls);
        has_tls.then(|| Certificates::read(tls)).transpose()
    }

    /// Reads the files, and starts the thread that looks at them.
    ///
    /// # Errors
    /// The file at fault, or the thread cannot be started.
    fn read(tls: &Tls) -> Result<Certificates> {
        let seen = look(tls);
        let source = TlsSource::read(tls)?;
        let (stop, stopped) = mpsc::channel();
        let (tls, of_thread) = (tls.clone(), Arc::clone(&source));
        let thread = thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || {
                let mut looks = Looks::new(seen);
                while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    if looks.are_due(look(&tls)) {
                        reload(&of_thread, &tls);
                    }
                }
            })
            .map_err(Error::Certificates)?;
        Ok(Certificates {
            source,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The certificates of the present.
    pub(super) fn source(&self) -> Arc<TlsSource> {
        Arc::clone(&self.source)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

fn reload(source: &TlsSource, tls: &Tls) {
    match source.reload(tls) {
        Ok(()) => tracing::info!("the TLS files changed: new handshakes use them"),
        Err(error) => tracing::error!(
            %error,
            "the TLS files changed and cannot be used: those of before stay in use"
        ),
    }
}

/// The properties of a file that differ when it was replaced or written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The marks of all files of `[tls]`; a file that cannot be seen has none.
fn look(tls: &Tls) -> Vec<Option<Mark>> {
    let certificates = tls.certificates.iter();
    let pairs = certificates.flat_map(|it| [&it.certificate_file, &it.key_file]);
    let files = pairs.chain(&tls.client_ca_files);
    files.map(|path| mark(path).ok()).collect()
}

fn mark(path: &Path) -> io::Result<Mark> {
    let metadata = fs::metadata(path)?;
    Ok(Mark {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        mode: metadata.mode(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Decides when changed files are read.
struct Looks<T> {
    /// As they were read.
    read: T,
    last: T,
}

impl<T: Clone + PartialEq> Looks<T> {
    fn new(read: T) -> Looks<T> {
        let last = read.clone();
        Looks { read, last }
    }

    /// Whether the files are to be read, which look like `now`.
    fn are_due(&mut self, now: T) -> bool {
        let is_stable = now == self.last;
        self.last = now;
        let is_due = is_stable && self.last != self.read;
        if is_due {
            self.read = self.last.clone();
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::Looks;

    #[test]
    fn files_are_read_once_when_they_no_longer_change() {
        let mut looks = Looks::new(0);
        let due: Vec<bool> = [0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 3, 3]
            .into_iter()
            .map(|look| looks.are_due(look))
            .collect();
        let read: Vec<usize> = (0..due.len()).filter(|at| due[*at]).collect();
        assert_eq!(read, [3, 7]);
    }
}
