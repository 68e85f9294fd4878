//! The control thread: it reads the configuration, fetches the keys of issuers, introspects opaque
//! tokens, and publishes a snapshot after each change.
//!
//! It is the only thread of access control that waits for files and the network. Shards send it
//! requests through a bounded queue and never wait for it.

mod error;
mod events;
mod files;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use corelane_guard::access::Issuers;
use tokio::sync::{mpsc, oneshot};

use crate::config::ServerFacts;
use crate::counters::Counters;
use crate::event::ControlEvent;
use crate::fetch::{Lookup, system_lookup};
use crate::shared::Shared;
pub use error::ControlError;
use events::Events;
use files::Files;

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

impl Control {
    /// Reads the configuration at `path`, reports a first snapshot, and starts the thread, which
    /// reports what follows. The keys of issuers may be absent at first.
    ///
    /// # Errors
    /// The configuration has faults, or the thread cannot be started.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use corelane_control::config::{Limits, ServerFacts};
    /// use corelane_control::{Control, ControlEvent};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("corelane.toml");
    /// std::fs::write(&path, "[policy]\ndefault = \"authenticated\"\n")?;
    /// let server = ServerFacts {
    ///     endpoint_paths: vec!["/mcp".to_owned()],
    ///     loopback_origin: None,
    ///     has_client_certificates: false,
    ///     has_public_header: false,
    ///     methods: Vec::new(),
    ///     catalog: None,
    ///     limits: Limits::default(),
    /// };
    /// let (sender, snapshots) = mpsc::channel();
    /// let control = Control::start(&path, server, move |event| {
    ///     if let ControlEvent::Snapshot(access) = event {
    ///         let _ = sender.send(access);
    ///     }
    /// })?;
    /// assert!(snapshots.recv()?.requires_credential);
    /// drop(control);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(
        path: &Path,
        server: ServerFacts,
        report: impl Fn(ControlEvent<'_>) + Send + 'static,
    ) -> Result<Control, ControlError> {
        Control::start_with_lookup(path, server, system_lookup(), report)
    }

    /// As [`Control::start`], with another way to find the addresses of names.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn start_with_lookup(
        path: &Path,
        server: ServerFacts,
        lookup: Lookup,
        report: impl Fn(ControlEvent<'_>) + Send + 'static,
    ) -> Result<Control, ControlError> {
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        let shared = Arc::new(Shared::new(sender));
        let files = Files {
            path: path.to_owned(),
            server,
        };
        let (config, looks) = files.load();
        let mut events = Events::new(config?, files, lookup, Arc::clone(&shared))?;
        events.publish(&report);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(LOOKUP_THREADS_MAX)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                runtime.block_on(events.run(looks, messages, stopped, report));
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

    /// Reads the configuration again, soon, and fetches the keys of issuers. If it has faults, they
    /// are logged and that of before stays in use.
    pub fn reload(&self) {
        self.shared.reload();
    }

    /// Reads the configuration again for a server with these properties, which may be others than
    /// those of the start, and waits until a snapshot of it was reported. Returns the places whose
    /// changes are not in use, because only a start applies them, such as `audit`. With `is_check`
    /// nothing changes.
    ///
    /// # Errors
    /// The configuration has faults: that of before stays in use. Or the thread does not answer.
    pub fn reload_for(
        &self,
        server: ServerFacts,
        is_check: bool,
    ) -> Result<Vec<String>, ControlError> {
        self.shared.reread(server, is_check)
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
