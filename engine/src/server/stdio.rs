//! A server on standard input and output: one client, which is the parent of the process.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Error, Result, RunningServer, Server};
use crate::profile::Profile;
use crate::shard::Intake;
use crate::transport::stdio::Stdio;

impl Server {
    /// Serves the parent of the process on standard input and output, in all revisions at once,
    /// until standard input ends or SIGTERM or SIGINT arrives; then answers the requests in flight,
    /// for `server.drain_timeout_ms` of the profile at most. Nothing is listened on, and one shard
    /// serves it all; it is pinned to a core if the profile names cores.
    ///
    /// Nothing but messages reaches standard output: the output of handlers, libraries and child
    /// processes goes to standard error, where the log is, and standard input is empty for them.
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

    pub(super) fn serve_stdio(self, profile: Profile) -> Result<()> {
        profile.validate()?;
        // The end of standard input is a request to end; a signal after it is the second one.
        let is_ending = Arc::new(AtomicBool::new(false));
        let on_input_end = {
            let is_ending = Arc::clone(&is_ending);
            move || is_ending.store(true, Ordering::Relaxed)
        };
        let connected = Stdio::take_over().and_then(|stdio| stdio.connect(on_input_end));
        let connected = connected.map_err(Error::Stdio)?;
        let patience = Duration::from_millis(profile.server.drain_timeout_ms);
        let signals = RunningServer::catch_signals()?;
        let server = self.start_on_channel(profile, connected.socket)?;
        server.forward_signals(signals, is_ending)?;
        let ended = server.run_until_channel_ends();
        // The last output of the shard may still be on its way to a parent that reads slowly.
        let _ = connected.written.recv_timeout(patience);
        ended
    }

    /// Starts one shard with `socket` as its only connection. The profile was validated.
    pub(super) fn start_on_channel(
        self,
        mut profile: Profile,
        socket: OwnedFd,
    ) -> Result<RunningServer> {
        profile.server.stdio = true;
        profile.server.shards = Some(1);
        let core = profile.choose_cores()?[0];
        let shard = profile.for_core(core).for_one_connection();
        let intake = Intake::Channel {
            socket,
            is_pinned: profile.server.cores.is_some(),
        };
        // Nothing listens there, and no output names it.
        let address = profile.server.listen;
        self.start_on(profile, &[shard], address, vec![intake])
    }
}
