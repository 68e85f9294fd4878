//! Real directories, read by a real executor.

mod escapes;
mod listing;
mod reading;
mod watching;

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Directory, DirectoryLimits, FilesError};
use crate::handler::Call;
use crate::handler::event_queue::EventQueue;
use crate::handler::offload::{OffloadPool, OffloadPort, PoolThreads};
use corelane_io::executor::{Executor, Parker};
use corelane_io::wake::EventFd;

/// The time limit of every wait; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(15);

/// A directory with these files, each with its own name as content. Names with a slash at the
/// end are of directories.
fn tree(names: &[&str]) -> TempDir {
    let root = tempfile::tempdir().expect("a directory can be made");
    for name in names {
        let path = root.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).expect("a directory can be made");
            continue;
        }
        let parent = path.parent().expect("it is below the root");
        fs::create_dir_all(parent).expect("a directory can be made");
        fs::write(path, name).expect("a file can be written");
    }
    root
}

fn open(root: &Path, limits: DirectoryLimits) -> Directory {
    Directory::open(root, limits).expect("the directory can be opened")
}

fn following() -> DirectoryLimits {
    DirectoryLimits {
        follow_symlinks: true,
        ..DirectoryLimits::default()
    }
}

/// The parts of a shard that a handler needs, and the part of the shard's loop that serves it.
struct Shard {
    call: Call,
    port: Rc<OffloadPort>,
    woken: Arc<EventFd>,
    parker: Parker,
}

impl Shard {
    /// Runs `body` on a shard whose offload pool has `file_read` threads for files.
    fn run<T>(file_read: usize, body: impl AsyncFnOnce(&Shard) -> T) -> T {
        Executor::of_test().run(async move {
            let threads = PoolThreads {
                file_read,
                ..PoolThreads::NONE
            };
            let queue_max = 8 * file_read;
            let pool = OffloadPool::start(threads, queue_max).expect("threads can be started");
            let woken = Arc::new(EventFd::open().expect("a descriptor is left"));
            let wake = {
                let woken = Arc::clone(&woken);
                Arc::new(move || woken.signal())
            };
            let event_queue = Rc::new(EventQueue::new(Arc::new(|| ())));
            let port = Rc::new(OffloadPort::new(pool, wake, Rc::clone(&event_queue)));
            let parker = Parker::new(woken.as_fd(), None).expect("it can be polled");
            let shard = Shard {
                call: Call::new(event_queue, Rc::clone(&port), Rc::default(), 1),
                port,
                woken,
                parker,
            };
            body(&shard).await
        })
    }

    /// Drives `future` as the shard's loop does.
    async fn finish<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut output = None;
        let started = Instant::now();
        loop {
            self.woken.clear();
            self.port.collect_finished();
            self.parker
                .park_for(PATIENCE, |context| {
                    future
                        .as_mut()
                        .poll(context)
                        .map(|ready| output = Some(ready))
                })
                .await;
            if let Some(output) = output.take() {
                return output;
            }
            assert!(started.elapsed() < PATIENCE, "the future is never ready");
        }
    }

    async fn read(&self, directory: &Directory, relative: &str) -> Result<Vec<u8>, FilesError> {
        self.finish(directory.read(&self.call, relative)).await
    }
}

/// The kind of a failure, and nothing of a success.
fn kind<T>(outcome: &Result<T, FilesError>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(FilesError::NotFound) => "not found",
        Err(FilesError::NotAFile) => "not a file",
        Err(FilesError::TooLarge { .. }) => "too large",
        Err(FilesError::Overloaded) => "overloaded",
        Err(FilesError::Io(_)) => "io",
    }
}
