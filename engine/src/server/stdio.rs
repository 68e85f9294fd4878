//! A server on standard input and output: one client, which is the parent of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Error, Result, RunningServer, Server};
use crate::profile::{Profile, cores};
use crate::shard::Intake;
use crate::transport::stdio::Stdio;

/// Places for connections and their listen streams. A table as large as the limit on open files is
/// for listeners.
const DESCRIPTORS: u32 = 1024;

impl Server {
    /// Serves the parent of the process on standard input and output, both eras on one channel,
    /// until standard input ends, or until SIGTERM or SIGINT; then finishes the calls in flight,
    /// for at most `server.drain_timeout_ms` of the profile. There is no listener, and one shard
    /// serves all of it; it is pinned to a core if the profile names cores.
    ///
    /// Only messages reach standard output: other output of handlers, libraries and child processes
    /// goes to standard error, where the log is, and their standard input is empty.
    ///
    /// ```no_run
    /// use corelane::{Profile, Server, tool};
    ///
    /// /// Adds two numbers.
    /// #[tool]
    /// async fn add(a: f64, b: f64) -> f64 {
    ///     println!("on standard error");
    ///     a + b
    /// }
    ///
    /// fn main() -> corelane::Result<()> {
    ///     let server = Server::new("calculator", "1.0.0").with_tool(add());
    ///     server.run_stdio(Profile::default())
    /// }
    /// ```
    ///
    /// # Errors
    /// Everything that keeps the server from starting, and the failure of its shard.
    pub fn run_stdio(self, mut profile: Profile) -> Result<()> {
        profile.server.stdio = true;
        self.run(profile)
    }

    pub(super) fn serve_stdio(self, mut profile: Profile) -> Result<()> {
        profile.validate()?;
        profile.server.shards = Some(1);
        let descriptors = profile.ring.descriptors.unwrap_or(DESCRIPTORS);
        profile.ring.descriptors = Some(descriptors);
        let core = cores::choose(profile.server.cores.as_ref(), profile.server.shards)?;
        // The end of standard input requests the end of the process; a later signal is a second
        // request.
        let end_requested = Arc::new(AtomicBool::new(false));
        let on_input_end = {
            let end_requested = Arc::clone(&end_requested);
            move || end_requested.store(true, Ordering::Relaxed)
        };
        let connected = Stdio::take_over().and_then(|stdio| stdio.connect(on_input_end));
        let connected = connected.map_err(Error::Stdio)?;
        let intake = Intake::Channel {
            socket: connected.socket,
            is_pinned: profile.server.cores.is_some(),
        };
        // There is no listener, and no message names this address.
        let address = profile.server.listen;
        let patience = Duration::from_millis(profile.server.drain_timeout_ms);
        let signals = RunningServer::catch_signals()?;
        let server = self.start_on(profile, &core, address, vec![intake])?;
        server.forward_signals(signals, end_requested)?;
        let ended = server.run_until_channel_ends();
        // The shard's output is still on its way to a parent that reads slowly.
        let _ = connected.written.recv_timeout(patience);
        ended
    }
}
