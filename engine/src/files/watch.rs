//! Reports changes below a directory, inotify(7).
//!
//! The kernel watches single directories, so each directory of the tree has a watch, and a new one
//! gets one. Invariant: a change without a report of its own, because the kernel lost it or there
//! were too many, is reported as [`Change::Everything`]. The exceptions are those of inotify:
//! writes through a memory map until the file is closed, and file systems that others change behind
//! the kernel's back.

pub(super) mod burst;
mod tree;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::burst::{Burst, Change};
use self::tree::Tree;
use super::directory::Directory;
use super::error::FilesError;
use corelane_io::wake::EventFd;

/// The time from the first change of a burst to its report, in milliseconds: an editor that saves a
/// file writes, renames and removes several within this time.
const BURST_MS: u64 = 50;

/// Reports changes until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts a thread that calls `on_change` with every change from the return of this call on.
    /// Blocks while it reads the directory tree once.
    ///
    /// Where symbolic links are followed a file can have several names, so every change is
    /// [`Change::Everything`] there. `on_change` must not drop the watch.
    ///
    /// # Errors
    /// [`FilesError::Io`] when the root cannot be watched, the thread cannot start, or the user has
    /// no inotify instance left. Subdirectories past the limit of watches are left unwatched, with
    /// a warning.
    pub(crate) fn start(
        directory: &Directory,
        on_change: impl Fn(Change) + Send + 'static,
    ) -> Result<Watch, FilesError> {
        let stop = Arc::new(EventFd::open()?);
        let mut watching = Watching {
            tree: Tree::plant(directory.clone())?,
            burst: Burst::default(),
            report_at: None,
            on_change,
        };
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("files-watch".to_owned())
            .spawn(move || {
                if let Err(error) = watching.run(&stopped) {
                    tracing::error!(%error, "changes of files are no longer reported");
                }
            })?;
        Ok(Watch {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.signal();
        if let Some(thread) = self.thread.take() {
            // It fails only if `on_change` panicked, which was logged then.
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Watching<F> {
    tree: Tree,
    burst: Burst,
    /// The time of the report of the burst; none while there is no burst.
    report_at: Option<Instant>,
    on_change: F,
}

impl<F: Fn(Change)> Watching<F> {
    fn run(&mut self, stop: &EventFd) -> io::Result<()> {
        loop {
            let wait = self
                .report_at
                .map(|at| at.saturating_duration_since(Instant::now()));
            let (has_events, is_stopped) = wait_for(self.tree.as_fd(), stop.as_fd(), wait)?;
            if is_stopped {
                return Ok(());
            }
            if has_events {
                self.tree.take_events(&mut self.burst)?;
            }
            let now = Instant::now();
            if self.report_at.is_none() && !self.burst.is_empty() {
                self.report_at = Some(now + Duration::from_millis(BURST_MS));
            }
            if self.report_at.is_some_and(|at| at <= now) {
                self.report_at = None;
                self.burst.report(&self.on_change);
            }
        }
    }
}

/// Waits until one of two descriptors is readable or `wait` is over; returns which are.
fn wait_for(
    events: BorrowedFd<'_>,
    stop: BorrowedFd<'_>,
    wait: Option<Duration>,
) -> io::Result<(bool, bool)> {
    let mut watched = [
        PollFd::from_borrowed_fd(events, PollFlags::IN),
        PollFd::from_borrowed_fd(stop, PollFlags::IN),
    ];
    let wait = wait.map(|wait| Timespec {
        tv_sec: wait.as_secs() as i64,
        tv_nsec: i64::from(wait.subsec_nanos()),
    });
    match poll(&mut watched, wait.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let [events, stop] = watched.map(|fd| !fd.revents().is_empty());
    Ok((events, stop))
}
