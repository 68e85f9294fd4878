//! The control thread: it reads the configuration, fetches the keys of issuers, introspects opaque
//! tokens, and publishes a snapshot after each change.
//!
//! It is the only thread of access control that waits for files and the network. Shards send it
//! requests through a bounded queue and never wait for it.

mod events;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use corelane_guard::access::{Access, Issuers};
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, ConfigError, ServerFacts};
use crate::counters::Counters;
use crate::fetch::{FetchError, Lookup, system_lookup};
use crate::looks::Looks;
use crate::shared::Shared;
use events::Events;

/// Most messages that wait for the thread.
const MESSAGES_MAX: usize = 1024;
/// Most threads that resolve names: the system's function for it blocks.
const LOOKUP_THREADS_MAX: usize = 4;

/// The control thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Control {
    shared: Arc<Shared>,
    /// Dropped first: then the thread ends.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why the control thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The configuration has faults.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No requests can be made.
    #[error("requests to issuers cannot be made: {0}")]
    Fetch(#[from] FetchError),
    /// The thread cannot be started.
    #[error("the control thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl Control {
    /// Reads the configuration at `path`, publishes a first snapshot, and starts the thread. The
    /// keys of issuers may be absent at first.
    ///
    /// # Errors
    /// The configuration has faults, or the thread cannot be started.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use corelane_control::config::{Limits, ServerFacts};
    /// use corelane_control::Control;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("corelane.toml");
    /// std::fs::write(&path, "[policy]\ndefault = \"authenticated\"\n")?;
    /// let server = ServerFacts {
    ///     endpoint_paths: vec!["/mcp".to_owned()],
    ///     loopback_origin: None,
    ///     has_client_certificates: false,
    ///     limits: Limits::default(),
    /// };
    /// let (sender, snapshots) = mpsc::channel();
    /// let control = Control::start(&path, server, move |access| {
    ///     let _ = sender.send(access);
    /// })?;
    /// assert!(snapshots.recv()?.requires_credential);
    /// drop(control);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(
        path: &Path,
        server: ServerFacts,
        publish: impl Fn(Arc<Access>) + Send + 'static,
    ) -> Result<Control, ControlError> {
        Control::start_with_lookup(path, server, system_lookup(), publish)
    }

    /// As [`Control::start`], with another way to find the addresses of names.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn start_with_lookup(
        path: &Path,
        server: ServerFacts,
        lookup: Lookup,
        publish: impl Fn(Arc<Access>) + Send + 'static,
    ) -> Result<Control, ControlError> {
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        let shared = Arc::new(Shared::new(sender));
        let files = Files {
            path: path.to_owned(),
            server,
        };
        let (config, looks) = files.load();
        let mut events = Events::new(config?, files, lookup, Arc::clone(&shared))?;
        events.publish(&publish);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(LOOKUP_THREADS_MAX)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                runtime.block_on(events.run(looks, messages, stopped, publish));
                // A look-up may take longer than anyone waits.
                runtime.shutdown_background();
            })?;
        Ok(Control {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Takes the requests of shards.
    pub fn issuers(&self) -> Arc<dyn Issuers> {
        let shared: Arc<Shared> = Arc::clone(&self.shared);
        shared
    }

    /// Reads the configuration again, soon. If it has faults, they are logged and that of before
    /// stays in use.
    pub fn reload(&self) {
        self.shared.reload();
    }

    /// The counts for metrics.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The age of the fetched keys of each issuer, in milliseconds, by its alias; None without
    /// keys. Those of files and secrets have none.
    pub fn key_ages(&self) -> Vec<(Box<str>, Option<u64>)> {
        self.shared.key_ages()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

/// The file of the configuration, and the files that it names.
#[derive(Debug)]
struct Files {
    path: PathBuf,
    server: ServerFacts,
}

impl Files {
    /// Reads the configuration, and looks at its files before that, so that a change between the
    /// two is seen later.
    fn load(&self) -> (Result<Config, ConfigError>, Looks) {
        let mut files = Vec::new();
        // The first time for the names of the files only.
        let _ = Config::read(&self.path, &self.server, &mut files);
        let looks = Looks::new(files);
        let config = Config::read(&self.path, &self.server, &mut Vec::new());
        (config, looks)
    }
}
